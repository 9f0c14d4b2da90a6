"""Stores groups of batches: ledger first, then COPY, in one transaction.

The three families of Postgres errors decide what happens: bad data is found and set
aside record by record, a schema that does not fit stops the collector, and everything
else (nobody there, no disk, no locks) is waited for, without end.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Sequence
from datetime import date
from typing import Any, cast

import psycopg

from godot_otel import fault, sql, store
from godot_otel.errors import GodotError, SchemaError, StoreUnreachableError
from godot_otel_collector.batch import WHOLE, Batch, DeadLetter
from godot_otel_collector.copying import copy_group, family, refused
from godot_otel_collector.entry import progress
from godot_otel_collector.group import Group
from godot_otel_collector.metrics import Metrics
from godot_otel_collector.partitions import Partitions
from godot_otel_collector.values import dumps, text

log = logging.getLogger(__name__)


class MissingPartitionError(GodotError):
    """A row's partition does not exist (any more); make it and repeat."""


class StoppedError(GodotError):
    """The collector stops while the store is away; what it held stays pending."""


class Writer:
    """Stores groups over one connection of its own, opened when it is needed."""

    def __init__(
        self,
        dsn: str,
        *,
        partitions: Partitions,
        stopping: asyncio.Event,
        metrics: Metrics | None = None,
    ) -> None:
        self._dsn = dsn
        self._metrics = metrics or Metrics()
        self._partitions = partitions
        self._stopping = stopping
        self._connection: store.Connection | None = None
        self._known: dict[int, date] = {}
        self.conflicts = 0
        """Batches that turned out to be stored already."""

    async def write(self, group: Group) -> None:
        """Store *group*, waiting for as long as Postgres is away.

        Raises:
            MissingPartitionError: a partition vanished; call again with the group made
                anew, after its partitions were ensured.
            SchemaError: the tables are not what this program knows.
            StoppedError: the collector stops; nothing was stored.
        """
        delay = 0.1
        suspect: psycopg.Error | None = None
        while True:
            try:
                if suspect is not None:
                    group, *others = await self._set_aside(group, suspect)
                    suspect = None
                    for other in others:
                        await self.write(other)
                await self._store(group)
                return self._metrics.store_works()
            except psycopg.Error as error:
                await self._close()
                kind = family(error)
                if kind == "partition":
                    raise MissingPartitionError from None
                if kind == "schema":
                    raise SchemaError(
                        f"the store refused a statement ({error.sqlstate}): the schema"
                        " does not fit; run `godot-otel migrate`."
                    ) from error
                if kind == "data":
                    suspect = error
                    continue
                log.warning(
                    "the store cannot be used, the queue holds what comes: %s",
                    type(error).__name__,
                    extra={"action": "store_away", "sqlstate": error.sqlstate},
                )
            except StoreUnreachableError as error:
                log.warning("%s", error, extra={"action": "store_away"})
            self._metrics.store_fails()
            await self._pause(delay)
            delay = min(delay * 2, 5.0)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
        raise StoppedError

    async def _open(self) -> store.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = await store.connect(
                self._dsn, application_name="godot-otel collector"
            )
            await self._connection.execute("SET statement_timeout = '60s'")
        return self._connection

    async def _close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    close = _close

    async def _store(self, group: Group) -> None:
        connection = await self._open()
        began = time.perf_counter()
        await self._upsert_dictionaries(connection, group.batches)
        async with connection.transaction():
            base, stored = await _enter(connection, group.batches)
            for batch in group.batches:
                batch.known = batch.stream_id in stored
            fault.point("after_ledger")
            if stored:
                self.conflicts += len(stored)
                log.info(
                    "%d batches came again, they are stored already", len(stored),
                    extra={"action": "stored_before"},
                )  # fmt: skip # one sentence
                fresh = [b for b in group.batches if b.stream_id not in stored]
                group = await asyncio.to_thread(self._again, fresh)
            copying = time.perf_counter()
            await copy_group(connection, group, base << 20)
            self._metrics.copy_seconds.observe(time.perf_counter() - copying)
            await _bury(connection, group.batches)
            fault.point("before_commit")
        self._metrics.transaction_seconds.observe(time.perf_counter() - began)

    async def _upsert_dictionaries(
        self, connection: store.Connection, batches: Sequence[Batch]
    ) -> None:
        """Add what is new; in a transaction of its own, and sorted by the statements:
        two collectors with the same entries in another order would deadlock."""
        today = date.today()  # decides only how often last_seen moves
        resources: dict[int, tuple[Any, ...]] = {}
        scopes: dict[int, tuple[Any, ...]] = {}
        templates: dict[int, tuple[Any, ...]] = {}
        sources: dict[str, dict[str, Any]] = {}
        for batch in batches:
            resources |= batch.resources
            scopes |= batch.scopes
            templates |= batch.templates
            if batch.source:
                instance = batch.source["instance"]
                # A batch from a spool comes after younger ones.
                before = sources.get(instance, batch.source)
                sources[instance] = max(before, batch.source, key=progress)
        known = self._known
        new = [
            (name, [(i, *row) for i, row in rows.items() if known.get(i) != today])
            for name, rows in (
                ("upsert_resources", resources),
                ("upsert_scopes", scopes),
                ("upsert_templates", templates),
            )
        ]
        written = [row[0] for _, rows in new for row in rows]
        emitters = [(i, *_emitter(source)) for i, source in sources.items()]
        new.append(("upsert_emitters", emitters))
        if not any(rows for _, rows in new):
            return
        async with connection.transaction():
            for name, rows in new:
                if rows:
                    columns = [list(column) for column in zip(*rows, strict=True)]
                    await connection.execute(cast(Any, sql.query(name)), columns)
        if len(self._known) > 200_000:
            self._known.clear()
        self._known.update(dict.fromkeys(written, today))

    async def anew(self, group: Group) -> Group:
        """Make a group once more, by the partitions there are now."""
        return await asyncio.to_thread(self._again, group.batches)

    def _again(self, batches: list[Batch]) -> Group:
        """Prepare a part of a group once more."""
        from godot_otel_collector import remaking

        self._make_rows(batches)
        return remaking.prepare(batches, self._partitions.logs)

    def _make_rows(self, batches: list[Batch]) -> None:
        from godot_otel_collector import remaking

        days, floor = self._partitions.rules.retention_days, self._partitions.floor
        remaking.rows(batches, retention_days=days, floor=floor)

    async def _set_aside(self, group: Group, error: psycopg.Error) -> list[Group]:
        """Turn the records that Postgres refuses into dead letters.

        They are found batch by batch, by trying halves, and halves of halves, inside
        a transaction that is rolled back. If none is refused, what is refused is not
        a record: the group comes back as two halves, to find the batch that it came
        with, and a single batch is set aside whole, its counters left out.
        """
        from godot_otel_collector import remaking

        reason = f"refused by the store: {error.sqlstate or type(error).__name__}"
        await asyncio.to_thread(self._make_rows, group.batches)
        connection = await self._open()
        bad = {b.stream_id: await refused(connection, b) for b in group.batches}
        prepare, logs = remaking.prepare, self._partitions.logs
        whole, middle = not any(bad.values()), len(group.batches) // 2
        if whole and middle:
            halves = group.batches[:middle], group.batches[middle:]
            return [await asyncio.to_thread(prepare, half, logs) for half in halves]
        for batch in group.batches:
            if whole:
                batch.dead = [DeadLetter(WHOLE, reason, batch.payload)]
                batch.clear_rows()
                batch.source = {}
                batch.resources, batch.scopes, batch.templates = {}, {}, {}
                continue
            gone = bad[batch.stream_id]
            batch.dead += remaking.letters(batch, gone, reason)
            batch.rows = batch.rows.without(gone)
            batch.spans = batch.spans.without(gone)
        found = sum(len(batch.dead) for batch in group.batches)
        log.warning(
            "%d dead letters: %s", found, reason, extra={"action": "dead_lettered"}
        )
        return [await asyncio.to_thread(prepare, group.batches, logs)]


def _emitter(source: dict[str, Any]) -> tuple[Any, ...]:
    return text(str(source.get("service", "")))[:255], dumps(source).decode()


async def _enter(
    connection: store.Connection, batches: Sequence[Batch]
) -> tuple[int, set[bytes]]:
    """Enter batches into the ledger; return the transaction's base of seq, and the
    stream ids of those that are stored already or twice in this group."""
    first: dict[tuple[int, bytes], Batch] = {}
    for batch in batches:
        first.setdefault((batch.home, batch.id), batch)
    entries = [batch for batch in first.values() if not batch.outside]
    values = {
        "homes": [b.home for b in entries],
        "ids": [uuid.UUID(bytes=b.id) for b in entries],
        "signals": [b.signal for b in entries],
        "records": [b.stored for b in entries],
        "dead": [len(b.dead) for b in entries],
        "instances": [b.source.get("instance") for b in entries],
    }
    cursor = await connection.execute(cast(Any, sql.query("ledger")), values)
    rows = await cursor.fetchall()
    new = {(home, batch_id.bytes) for home, batch_id, _ in rows}
    stored = {
        batch.stream_id
        for batch in batches
        if first[batch.home, batch.id] is not batch
        or ((batch.home, batch.id) not in new and not batch.outside)
    }
    return (rows[0][2] if rows else 0), stored


async def _bury(connection: store.Connection, batches: Sequence[Batch]) -> None:
    letters = [
        (uuid.UUID(bytes=b.id), d.ordinal, b.home, b.signal, d.reason, d.payload)
        for b in batches
        for d in b.dead
    ]
    if letters:
        async with connection.cursor() as cursor:
            await cursor.executemany(cast(Any, sql.query("dead_letter")), letters)
        fault.point("mid_dead_letter")
