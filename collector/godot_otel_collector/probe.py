"""Asks queue and store how they are, for /readyz and /metrics; never waits for long."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from redis.exceptions import RedisError

from godot_otel import sql, store
from godot_otel.errors import GodotError, StoreUnreachableError
from godot_otel.queue import Depth, Queue, unreachable

TIMEOUT = 2.0
_NO_BATCH = UUID(int=2**128 - 1)  # when the newest were stored is not asked


@dataclass(frozen=True, slots=True)
class Coverage:
    """The partitions of one table."""

    table: str
    partitions: int
    takes_now: bool
    takes_later: bool
    """Whether there is one for what comes a partition's width from now."""
    ahead_seconds: float


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What the store said of itself; its schema fits."""

    coverage: list[Coverage]
    dropped: dict[str, int]

    def problem(self) -> str | None:
        """Say which partition is missing; None when none is."""
        if not self.coverage:
            return "the store has no partitions yet: a collector makes them"
        for one in self.coverage:
            if not one.takes_now:
                return f"no partition of {one.table} takes what comes now"
            if not one.takes_later:
                return f"no partition of {one.table} takes what comes next"
        return None


class Probe:
    """Asks one queue and, as the writer, one store."""

    def __init__(self, source: Queue, dsn: str) -> None:
        self._queue = source
        self._dsn = dsn
        self._asking: asyncio.Task[StoreFacts] | None = None

    async def problem(self) -> str | None:
        """Say why a collector could not store anything now; None when it could."""
        try:
            _, facts = await asyncio.gather(self.depth(), self.store())
        except GodotError as error:
            return str(error)
        return facts.problem()

    async def depth(self) -> Depth:
        """Ask the queue how full it is.

        Raises:
            RetryableError: it did not answer in time.
        """
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._queue.depth()
        except (RedisError, OSError, TimeoutError) as error:
            raise unreachable(error) from None

    async def store(self) -> StoreFacts:
        """Ask the store, over a connection of its own.

        Raises:
            StoreUnreachableError: it did not answer in time.
            SchemaError: its schema and this program do not fit.
        """
        # One at a time, waited for but not cancelled: psycopg would wait for a server
        # that has stopped to confirm it.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait({self._asking}, timeout=TIMEOUT)
        if not done:
            raise StoreUnreachableError(
                f"the store at {store.place(self._dsn)} does not answer"
                f" within {TIMEOUT:g} s"
            )
        return self._asking.result()

    async def _ask(self) -> StoreFacts:
        connection = await store.connect(self._dsn, application_name="godot-otel probe")
        try:
            async with connection, connection.cursor(row_factory=dict_row) as cursor:
                await connection.execute("SET statement_timeout = '2s'")
                await store.check_schema(connection)
                await cursor.execute(cast(Any, sql.query("coverage")))
                rows = await cursor.fetchall()
                found = await connection.execute(
                    cast(Any, sql.query("ingest")), {"since": None, "after": _NO_BATCH}
                )
                ((dropped, _),) = await found.fetchall()
        except psycopg.Error as error:
            raise StoreUnreachableError(
                f"the store at {store.place(self._dsn)} refused"
                f" ({error.sqlstate or type(error).__name__})"
            ) from None
        coverage = [Coverage(row.pop("parent"), **row) for row in rows]
        return StoreFacts(coverage, dropped)
