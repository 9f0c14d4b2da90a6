"""One shard of the queue, as collectors drain it and readers look at it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import redis.asyncio
from redis.exceptions import ResponseError

from godot_otel.contract import Delivered, Fields, stream_milliseconds
from godot_otel.errors import SettingError
from godot_otel.queue import scripts
from godot_otel.queue.client import options
from godot_otel.queue.keys import (
    DEFAULT_MAX_BYTES,
    DEFAULT_MAX_RECORDS,
    GROUP,
    meta_key,
    stream_key,
)


@dataclass(frozen=True, slots=True)
class Depth:
    """How full the queue is; exact at the moment it was asked."""

    batches: int
    bytes: int
    records: int
    max_bytes: int
    max_records: int
    oldest_age_seconds: float
    admitted_batches: int
    admitted_records: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """One of the batches that came in last, as its producer says."""

    age_seconds: float
    service: str
    bytes: int


class Queue:
    """One shard of the queue, as collectors and readers use it; asynchronous.

    Errors of the client pass through as RedisError or OSError; the reader decides.
    """

    def __init__(self, url: str, *, shard: int = 0) -> None:
        self.key = stream_key(shard)
        self.meta = meta_key(shard)
        self._limits: dict[Any, Any] = {}
        try:
            # 10 s: a read blocks up to 2 s, and the rest is for a slow server.
            self._redis = redis.asyncio.Redis.from_url(url, **options(2.0, 10.0))
        except ValueError as error:
            raise SettingError(f"the queue's URL is malformed: {error}") from None
        self._acknowledge = self._redis.register_script(scripts.ACKNOWLEDGE)
        self._depth = self._redis.register_script(scripts.DEPTH)
        self._newest = self._redis.register_script(scripts.NEWEST)
        self._forget = self._redis.register_script(scripts.FORGET)

    async def prepare(self, *, max_bytes: int, max_records: int) -> list[str]:
        """Write the shard's limits and create its group; return what to warn about."""
        self._limits = {"v": 1, "max_bytes": max_bytes, "max_records": max_records}
        await self.create_group()
        return await self._warnings()

    async def _warnings(self) -> list[str]:
        try:
            policy = await self._redis.config_get("maxmemory-policy")
            appendonly = await self._redis.config_get("appendonly")
        except ResponseError:
            return ["could not check the Redis server's persistence and eviction"]
        found = []
        if policy.get("maxmemory-policy", "noeviction") != "noeviction":
            found.append("Redis may evict the queue: set maxmemory-policy noeviction")
        if appendonly.get("appendonly", "yes") != "yes":
            found.append("Redis keeps the queue in memory alone: set appendonly yes")
        return found

    async def create_group(self) -> None:
        """Create the group at the stream's beginning, and the stream; once is enough.

        Writes the limits too: what removed a group may have been a FLUSHALL.

        At ``0``, because ``$`` would skip what arrived before the first collector.
        """
        if self._limits:
            await cast(Any, self._redis.hset(self.meta, mapping=self._limits))
            await cast(Any, self._redis.hsetnx(self.meta, "shards", "1"))
        try:
            await self._redis.xgroup_create(self.key, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def read(
        self, consumer: str, *, count: int, block_ms: int | None
    ) -> list[Delivered]:
        """Take up to *count* new entries, waiting at most *block_ms* for the first.

        *block_ms* must stay below the client's socket timeout.
        """
        reply = await self._redis.xreadgroup(
            GROUP, consumer, {self.key: ">"}, count=count, block=block_ms
        )
        return _deliveries(reply)

    async def pending_of(
        self, consumer: str, *, after: str, count: int
    ) -> list[Delivered]:
        """Read entries again that were delivered to *consumer* and never acknowledged.

        Entries that were deleted meanwhile have no fields.
        """
        reply = await self._redis.xreadgroup(
            GROUP, consumer, {self.key: after}, count=count
        )
        return _deliveries(reply)

    async def consumers(self) -> list[dict[str, Any]]:
        """Name each consumer with its ``pending`` count and ``idle`` milliseconds."""
        return await self._redis.xinfo_consumers(self.key, GROUP)

    async def beat(self, consumer: str) -> None:
        """Show that *consumer* lives: asking for its own entries resets its idle
        time (XAUTOCLAIM does not on Redis 7.0), and no id is above this one."""
        await self.pending_of(consumer, after=f"{2**63}-0", count=1)

    async def claim(
        self, dead: str, consumer: str, *, idle_ms: int, count: int
    ) -> list[Delivered]:
        """Move up to *count* pending entries of *dead* to *consumer*.

        Two claimers cannot get the same entry: a claim resets its idle time.
        """
        waiting = await self._redis.xpending_range(
            self.key, GROUP, "-", "+", count, dead, idle=idle_ms
        )
        if not waiting:
            return []
        ids: list[Any] = [row["message_id"] for row in waiting]
        claimed = await self._redis.xclaim(self.key, GROUP, consumer, idle_ms, ids)
        return [(i, _pairs(f)) for i, f in cast("list[Any]", claimed) if i]

    async def forget(self, consumer: str) -> bool:
        """Delete a consumer's name; refused while anything is pending under it."""
        keys = [self.key, self.meta]
        return bool(await cast(Any, self._forget(keys=keys, args=[GROUP, consumer])))

    async def acknowledge(self, entries: Iterable[tuple[bytes, int, int]]) -> int:
        """Remove entries, each given as stream id, payload bytes and records.

        Must run after the commit: a crash in between delivers a batch twice, which
        the ledger absorbs; the other order would lose it.
        """
        arguments: list[Any] = [GROUP]
        for stream_id, size, records in entries:
            arguments += (stream_id, size, records)
        keys = [self.key, self.meta]
        return int(await cast(Any, self._acknowledge(keys=keys, args=arguments)))

    async def depth(self) -> Depth:
        """Say how full the queue is."""
        limits = [DEFAULT_MAX_BYTES, DEFAULT_MAX_RECORDS]
        reply = await cast(Any, self._depth(keys=[self.key, self.meta], args=limits))
        n = [int(value) for value in reply]
        return Depth(n[0], n[1], n[2], n[3], n[4], max(0, n[5]) / 1000, n[6], n[7])

    async def newest(self, count: int) -> list[Arrival]:
        """Say what the last *count* batches that wait are, newest first."""
        reply = await cast(Any, self._newest(keys=[self.key], args=[count]))
        now = int(reply[0])
        return [
            Arrival(max(0, now - stream_milliseconds(i)) / 1000, _service(source), size)
            for i, source, size in reply[1:]
        ]

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose()


def _service(source: bytes) -> str:
    """Name the producer of a batch; empty where it does not say who it is."""
    try:
        return str(json.loads(source)["service"])
    except (ValueError, KeyError, TypeError):
        return ""


def _pairs(fields: Any) -> Fields:
    if isinstance(fields, dict):
        return cast(Fields, fields)
    flat = fields or []
    return dict(zip(flat[::2], flat[1::2], strict=False))


def _deliveries(reply: Any) -> list[Delivered]:
    """Flatten XREADGROUP's reply: one stream, its entries, their fields."""
    if not reply:
        return []
    streams = reply.items() if isinstance(reply, dict) else reply
    return [(i, _pairs(f)) for _, entries in streams for i, f in entries]
