"""The collector's chain: reader, decode, prepare, writer, acknowledge.

One task reads and prepares the next group while another stores the one before: the
computing and the waiting for Postgres overlap, and at most three groups are held.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from redis.exceptions import RedisError

from godot_otel import notify, queue, store
from godot_otel.errors import GodotError, StoreUnreachableError
from godot_otel_collector.batch import Batch, DeadLetter, Rows
from godot_otel_collector.decode import DAY, Decoder
from godot_otel_collector.entry import UnknownContractError
from godot_otel_collector.group import Group, prepare
from godot_otel_collector.partitions import HOUR, LEDGER_DAYS, Partitions
from godot_otel_collector.reader import Reader
from godot_otel_collector.writer import MissingPartitionError, StoppedError, Writer

log = logging.getLogger(__name__)

_GROUP_RECORDS = 20_000
_GROUP_BYTES = 8 * 1024 * 1024
_MAINTENANCE_SECONDS = 60.0


class Collector:
    """Drains one shard of the queue into the store until it is told to stop."""

    def __init__(
        self,
        redis_url: str,
        *,
        owner_dsn: str,
        writer_dsn: str,
        max_bytes: int = queue.DEFAULT_MAX_BYTES,
        max_records: int = queue.DEFAULT_MAX_RECORDS,
    ) -> None:
        self._stopping = asyncio.Event()
        self._limits = {"max_bytes": max_bytes, "max_records": max_records}
        self._owner_dsn = owner_dsn
        self._queue = queue.Queue(redis_url)
        self._partitions = Partitions(owner_dsn)
        self._reader = Reader(self._queue, stopping=self._stopping)
        self._writer = Writer(writer_dsn, stopping=self._stopping)
        self._ready: asyncio.Queue[Group | None] = asyncio.Queue(maxsize=1)
        self.stored_records = 0

    def stop(self) -> None:
        """Finish what is in hand and return from ``run``; safe in a signal handler."""
        self._stopping.set()

    async def run(self) -> None:
        """Drain until ``stop``.

        Raises:
            SchemaError: the store's schema and this program do not fit.
        """
        # Decoding in a thread would make the event loop wait 5 ms for each turn.
        sys.setswitchinterval(0.001)
        await self._prepare()
        if not self._stopping.is_set():
            notify.ready()
            log.info("ready as %s", self._reader.consumer, extra={"action": "ready"})
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._intake())
                tasks.create_task(self._store())
                tasks.create_task(self._reader.run_reclaim())
                tasks.create_task(self._maintain())
        except BaseExceptionGroup as errors:
            first = errors.exceptions[0]
            if not isinstance(first, StoppedError):
                raise first from None
        finally:
            await self._writer.close()
            await self._reader.leave()
            await self._queue.close()
        log.info(
            "stopped: %d records stored, %d batches taken over, %d stored before",
            self.stored_records, self._reader.reclaims, self._writer.conflicts,
            extra={"action": "stopped"},
        )  # fmt: skip # one sentence

    async def _prepare(self) -> None:
        """Wait for both servers, then check them and make what is missing."""
        while not self._stopping.is_set():
            try:
                async with await store.connect(self._owner_dsn) as connection:
                    await store.check_schema(connection)
                await self._partitions.create_ahead()
                for warning in await self._queue.prepare(**self._limits):
                    log.warning("%s", warning, extra={"action": "server_settings"})
            except (StoreUnreachableError, RedisError, OSError) as error:
                text = str(error) if isinstance(error, GodotError) else "queue away"
                log.warning("waiting: %s", text, extra={"action": "waiting"})
                await self._sleep(1.0)
            else:
                return

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _intake(self) -> None:
        decoder = Decoder(retention_days=self._partitions.rules.retention_days)
        while not self._stopping.is_set():
            deliveries = await self._gather()
            if not deliveries:
                continue
            batches = await asyncio.to_thread(self._decode, decoder, deliveries)
            if batches:
                await self._ready.put(await self._prepared(batches))
        await self._ready.put(None)

    async def _gather(self) -> list[queue.Delivered]:
        """Read until the queue is empty or the group is large enough."""
        deliveries = await self._reader.read(wait=True)
        records = size = 0
        new = deliveries
        while new:
            for _, fields in new:
                size += len(fields.get(b"payload", b""))
                claimed = fields.get(b"records", b"0")
                records += int(claimed) if claimed.isdigit() else 0
            if records >= _GROUP_RECORDS or size >= _GROUP_BYTES:
                break
            new = await self._reader.read(wait=False)
            deliveries += new
        return deliveries

    def _decode(
        self, decoder: Decoder, deliveries: list[queue.Delivered]
    ) -> list[Batch]:
        batches = []
        for delivery in deliveries:
            try:
                batch = decoder.decode(delivery)
            except UnknownContractError:
                self._reader.leave_pending(delivery[0])
                log.error(
                    "batch %s is of a newer contract; it stays pending until a newer"
                    " collector takes it", delivery[0].decode(),
                    extra={"action": "unknown_contract"},
                )  # fmt: skip # one sentence
                continue
            _check_ledger_range(batch)
            batches.append(batch)
        return batches

    async def _prepared(self, batches: list[Batch]) -> Group:
        """Make sure of the partitions, then of everything one transaction writes."""
        while True:
            await self._ensure_partitions(batches)
            try:
                return await asyncio.to_thread(prepare, batches, self._partitions.logs)
            except LookupError:  # dropped meanwhile
                await self._partitions.create_ahead()

    async def _ensure_partitions(self, batches: list[Batch]) -> None:
        # Bounds are whole hours, whatever the widths: an hour has one partition.
        moments = {time // HOUR * HOUR for b in batches for time in b.rows.times}
        ids = [batch.id for batch in batches if not batch.outside]
        while True:
            try:
                return await self._partitions.ensure(moments, ids)
            except Exception as error:
                # Whatever it is, rows must not be lost for it; say so and try again.
                log.warning("no partition yet: %s", error,
                            extra={"action": "partition_failed"})  # fmt: skip
                await self._sleep(1.0)
                if self._stopping.is_set():
                    raise StoppedError from None

    async def _store(self) -> None:
        while (group := await self._ready.get()) is not None:
            await self._write(group)
            entries = [(b.stream_id, b.size, b.records) for b in group.batches]
            await self._reader.acknowledge(entries)
            self.stored_records += sum(len(batch.rows) for batch in group.batches)

    async def _write(self, group: Group) -> None:
        while True:
            try:
                return await self._writer.write(group, lambda: self._partitions.logs)
            except MissingPartitionError:
                await self._partitions.create_ahead()
                group = await self._prepared(group.batches)

    async def _maintain(self) -> None:
        """Keep the partitions of the coming hours made; for ever."""
        while not self._stopping.is_set():
            await self._sleep(_MAINTENANCE_SECONDS)
            try:
                await self._partitions.create_ahead()
            except Exception as error:
                log.warning("maintenance failed, trying again in a minute: %s", error,
                            extra={"action": "maintenance_failed"})  # fmt: skip


def _check_ledger_range(batch: Batch) -> None:
    """A batch older than the ledger cannot be proven new: it becomes a dead letter."""
    minted = int.from_bytes(batch.id[:6], "big") * 1000
    received = queue.stream_milliseconds(batch.stream_id) * 1000
    if not received - LEDGER_DAYS * DAY <= minted <= received + DAY:
        reason = "batch id is outside the ledger's range"
        batch.outside = True
        batch.rows = Rows()
        batch.dead = [DeadLetter(-1, reason, batch.payload)]
