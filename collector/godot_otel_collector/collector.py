"""The collector's chain: reader, decode, prepare, writer, acknowledge.

Groups are read ahead and prepared in a process of its own while the one before is
stored: computing and waiting overlap. They are stored in the order they were read in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import psycopg
from redis.exceptions import RedisError

from godot_otel import fault, notify, queue, store
from godot_otel.errors import GodotError, RetryableError
from godot_otel.redact import Redactor
from godot_otel_collector.group import Group
from godot_otel_collector.load import Load
from godot_otel_collector.maintenance import Maintenance
from godot_otel_collector.metrics import Metrics
from godot_otel_collector.partitions import Partitions
from godot_otel_collector.preparer import Preparer, PreparerDiedError
from godot_otel_collector.probe import Probe
from godot_otel_collector.reader import Reader
from godot_otel_collector.writer import MissingPartitionError, StoppedError, Writer

if TYPE_CHECKING:
    from godot_otel_collector.legacy import Legacy

log = logging.getLogger(__name__)

GROUP_RECORDS = 4_000
"""So many records, and the rest of the batch that they end in, are a transaction."""
_GROUP_BYTES = 4 * 1024 * 1024
_GROUP_ENTRIES = 2_000  # those that bring counters alone have neither records nor bytes
_MOST_GROUPS = 3
_MOST_DEATHS = 5
"""After so many of the process that decodes, in a row, the collector ends as well."""
_AHEAD_SECONDS = 60.0


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
        legacy_list: str | None = None,
        redact_keys: Sequence[str] = (),
        http_port: int | None = None,
        http_host: str = "127.0.0.1",
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        self._stopping = asyncio.Event()
        self._limits = {"max_bytes": max_bytes, "max_records": max_records}
        self._owner_dsn = owner_dsn
        self._queue = queue.Queue(redis_url)
        self._partitions = Partitions(owner_dsn)
        self._maintenance = Maintenance(owner_dsn, source=self._queue)
        self._reader = Reader(self._queue, stopping=self._stopping)
        self._metrics = Metrics(
            reclaims=lambda: self._reader.reclaims,
            conflicts=lambda: self._writer.conflicts,
        )
        self._writer = Writer(
            writer_dsn,
            partitions=self._partitions,
            stopping=self._stopping,
            metrics=self._metrics,
        )
        self._probe = Probe(self._queue, writer_dsn)
        self._load = Load(self._queue, stopping=self._stopping)
        self._http_port, self._http_host = http_port, http_host
        self._allowed_hosts = allowed_hosts
        self._legacy: Legacy | None = None
        if legacy_list:
            from godot_otel_collector.legacy import Legacy

            self._legacy = Legacy(
                redis_url,
                legacy_list,
                redactor=Redactor(redact_keys),
                stopping=self._stopping,
            )
        self._preparer = Preparer()
        self._room = asyncio.Semaphore(_MOST_GROUPS)
        self._ready: asyncio.Queue[asyncio.Task[Group] | None] = asyncio.Queue()
        self._ensuring = asyncio.Lock()
        self.stored_records = 0

    def stop(self) -> None:
        """Finish what is in hand and return from ``run``; safe in a signal handler."""
        self._stopping.set()

    async def run(self) -> None:
        """Drain until ``stop``, answering on the health port meanwhile.

        Raises:
            SchemaError: the store's schema and this program do not fit.
            SettingError: the health port is taken.
        """
        with contextlib.closing(self._preparer) as preparer:
            preparer.start()
            await self._serve()

    async def _serve(self) -> None:
        if self._http_port is None:
            return await self._drain()
        from godot_otel_collector import health  # a web server, where it is wanted

        async with health.serving(
            self._http_host, self._http_port, self._probe, self._metrics,
            names=self._allowed_hosts,
        ):  # fmt: skip # one call
            return await self._drain()

    async def _drain(self) -> None:
        await self._prepare()
        if not self._stopping.is_set():
            notify.ready()
            log.info("ready as %s", self._reader.consumer, extra={"action": "ready"})
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._intake(tasks))
                tasks.create_task(self._store())
                tasks.create_task(self._reader.run_reclaim())
                tasks.create_task(self._look_ahead())
                tasks.create_task(self._maintenance.run(self._stopping))
                if self._legacy:
                    tasks.create_task(self._legacy.run())
                tasks.create_task(self._load.run())
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
            except (RetryableError, psycopg.OperationalError) as error:
                text = str(error) if isinstance(error, GodotError) else "store busy"
                self._metrics.store_fails()
                log.warning("waiting: %s", text, extra={"action": "waiting"})
                await self._sleep(1.0)
            except (RedisError, OSError):
                log.warning("waiting: queue away", extra={"action": "waiting"})
                await self._sleep(1.0)
            else:
                self._metrics.store_works()
                return

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _intake(self, tasks: asyncio.TaskGroup) -> None:
        while await self._room.acquire() and not self._stopping.is_set():
            if deliveries := await self._gather():
                group = tasks.create_task(self._prepared(deliveries))
                await self._ready.put(group)
            else:
                self._room.release()
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
                # Not more digits than an honest one has: int refuses thousands.
                records += int(claimed[:10]) if claimed.isdigit() else 0
            if records >= GROUP_RECORDS or size >= _GROUP_BYTES:
                break
            if len(deliveries) >= _GROUP_ENTRIES:
                break
            new = await self._reader.read(wait=False)
            deliveries += new
        return deliveries

    async def _prepared(self, deliveries: list[queue.Delivered]) -> Group:
        """Prepare what one transaction writes, and make sure of its partitions."""
        deaths = 0
        while True:
            try:
                found = await self._preparer.prepare(
                    deliveries, self._partitions.logs, floor=self._partitions.floor,
                    retention_days=self._partitions.rules.retention_days,
                )  # fmt: skip # what, and the rules
            except PreparerDiedError as error:
                deaths += 1
                if deaths == _MOST_DEATHS:  # of all that was read with it
                    raise
                log.error("%s, starting another", error, extra={"action": "decoding"})
                await self._retry()
                continue
            for stream_id in found.unknown:
                log.error(
                    "batch %s is of a newer contract; it stays pending until a newer"
                    " collector takes it", stream_id.decode(),
                    extra={"action": "unknown_contract"},
                )  # fmt: skip # one sentence
            await self._ensure_partitions(found.moments, found.ids)
            if found.group is not None:
                return found.group
            gone = set(found.unknown)
            deliveries = [d for d in deliveries if d[0] not in gone]

    async def _ensure_partitions(self, moments: set[int], ids: list[bytes]) -> None:
        async def ensure() -> None:
            async with self._ensuring:
                await self._partitions.ensure(moments, ids)

        await self._persist(ensure)

    async def _persist(self, work: Callable[[], Awaitable[None]]) -> None:
        """Repeat something about partitions until it succeeds."""
        while True:
            try:
                return await work()
            except Exception as error:
                # Whatever it is, rows must not be lost for it; say so and try again.
                log.warning("no partition yet: %s", error,
                            extra={"action": "partition_failed"})  # fmt: skip
                await self._retry()

    async def _retry(self) -> None:
        """Wait before something is tried again; raises StoppedError when told to."""
        await self._sleep(1.0)
        if self._stopping.is_set():
            raise StoppedError

    async def _store(self) -> None:
        while (prepared := await self._ready.get()) is not None:
            await self._store_one(await prepared)
            self._room.release()

    async def _store_one(self, group: Group) -> None:
        if not group.batches:
            return
        await self._write(group)
        fault.point("after_commit_before_ack")
        self._metrics.stored(group.batches)
        entries = [(b.stream_id, b.size, b.records) for b in group.batches]
        await self._reader.acknowledge(entries)
        self.stored_records += sum(b.stored for b in group.batches if not b.known)

    async def _write(self, group: Group) -> None:
        while True:
            try:
                return await self._writer.write(group)
            except MissingPartitionError:  # dropped since the group was prepared
                await self._persist(self._partitions.refresh)
                group = await self._writer.anew(group)
                ids = [batch.id for batch in group.batches if not batch.outside]
                await self._ensure_partitions(group.hours(), ids)

    async def _look_ahead(self) -> None:
        """Keep the partitions of the coming hours made; for ever."""
        while not self._stopping.is_set():
            await self._sleep(_AHEAD_SECONDS)
            try:
                await self._partitions.create_ahead()
            except Exception as error:
                log.warning("no partitions ahead, trying again in a minute: %s", error,
                            extra={"action": "partition_failed"})  # fmt: skip
