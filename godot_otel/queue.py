"""The queue between applications and collectors: Redis Streams, by the wire contract.

``exporters/README.md`` states the contract for every language. One entry is one batch:
an OTLP request with an id minted once. Producers are synchronous (they live in other
people's threads), collectors asynchronous.

Every reply is read in RESP2 shape; clients never retry by themselves, because a retry
after a lost reply is a decision about duplicates (a second XADD) or about losing sight
of an entry (a second XREADGROUP returns the next one).
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from godot_otel import fault, levels
from godot_otel.errors import QueueFullError, RetryableError, SettingError
from godot_otel.levels import Instance, LevelBoard

CONTRACT = b"1"
GROUP = "collectors"
MAX_BATCH_BYTES = 4 * 1024 * 1024  # packed and unpacked
DEFAULT_MAX_BYTES = 512 * 1024 * 1024
DEFAULT_MAX_RECORDS = 5_000_000
ENCODINGS = (b"", b"gzip")
_RUN = re.compile(rb"^run_id:(\w+)", re.MULTILINE)


def stream_key(shard: int = 0) -> str:
    """Name the stream of *shard*; the braces are a Redis Cluster hash tag."""
    return f"godot:{{{shard}}}:batches"


def meta_key(shard: int = 0) -> str:
    """Name the hash with contract version, limits and counters of *shard*."""
    return f"godot:{{{shard}}}:meta"


def levels_key(shard: int = 0) -> str:
    """Name the hash of levels that hold for a while."""
    return f"godot:{{{shard}}}:levels"


def instances_key(shard: int = 0) -> str:
    """Name the hash of running processes and the levels they have applied."""
    return f"godot:{{{shard}}}:instances"


def board_keys(shard: int = 0) -> list[str]:
    """Name the keys that every script of ``godot_otel.levels`` takes."""
    return [levels_key(shard), instances_key(shard), meta_key(shard)]


def batch_id(now_ms: int | None = None) -> bytes:
    """Mint a batch's id: a UUIDv7 (RFC 9562, 5.7) as 16 bytes.

    Must be minted once, before the first attempt to send, and kept ever after. Ids of
    one millisecond sort by the quarter of a microsecond (6.2, method 3).
    """
    now_ns = time.time_ns() if now_ms is None else now_ms * 1_000_000
    milliseconds, rest = divmod(now_ns, 1_000_000)
    random = bytearray(os.urandom(8))
    random[0] = 0x80 | random[0] & 0x3F
    within = 0x7000 | rest * 4096 // 1_000_000
    return milliseconds.to_bytes(6, "big") + within.to_bytes(2, "big") + bytes(random)


def derived_id(milliseconds: int, digest: bytes) -> bytes:
    """Make a batch's id from what it holds, for one whose sender mints none.

    A UUIDv7 as well: *milliseconds*, then *digest*, a hash of 10 bytes.
    """
    rest = bytearray(digest)
    rest[0] = 0x70 | rest[0] & 0x0F
    rest[2] = 0x80 | rest[2] & 0x3F
    return milliseconds.to_bytes(6, "big") + bytes(rest)


@dataclass(frozen=True, slots=True)
class Entry:
    """One batch on its way through the queue."""

    id: bytes
    signal: bytes
    records: int
    payload: bytes
    encoding: bytes = b""
    source: bytes = b""
    home: int = 0
    dead: bytes = b""
    """Why the payload, no OTLP, is a dead letter from the start."""

    def fields(self) -> list[bytes]:
        """The entry's fields and values, alternating, as the contract has them."""
        return [
            b"v", CONTRACT, b"id", self.id, b"home", b"%d" % self.home,
            b"signal", self.signal, b"records", b"%d" % self.records,
            b"encoding", self.encoding, b"source", self.source,
            b"payload", self.payload, *([b"dead", self.dead] if self.dead else []),
        ]  # fmt: skip # a field beside its value


# allow-oom: a server out of memory must still let itself be drained, and must answer
# FULL rather than with an error; so admission checks memory by itself.
_ADMIT = """#!lua flags=allow-oom
local m = redis.call('HMGET', KEYS[2], 'max_bytes', 'max_records', 'bytes', 'records',
                     'level_version')
local size, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local bytes, records = tonumber(m[3] or 0), tonumber(m[4] or 0)
if bytes + size > tonumber(m[1] or ARGV[3]) then return {0, 'bytes'} end
if records + count > tonumber(m[2] or ARGV[4]) then return {0, 'records'} end
local info = redis.pcall('INFO', 'memory')
if type(info) == 'string' then
  local limit = tonumber(string.match(info, 'maxmemory:(%d+)') or 0)
  local used = tonumber(string.match(info, 'used_memory:(%d+)') or 0)
  if limit > 0 and used + 2 * size > limit then return {0, 'memory'} end
end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 5))
redis.call('HINCRBY', KEYS[2], 'bytes', size)
redis.call('HINCRBY', KEYS[2], 'records', count)
redis.call('HINCRBY', KEYS[2], 'admitted_batches', 1)
redis.call('HINCRBY', KEYS[2], 'admitted_records', count)
return {1, id, m[5] or '0'}
"""

# Only what XDEL really removed is subtracted: a second acknowledgement of the same
# entry changes nothing. Sums below nothing and those of an empty stream are reset,
# which heals them after somebody wrote to or trimmed the stream by hand.
_ACKNOWLEDGE = """#!lua flags=allow-oom
local removed = 0
for i = 2, #ARGV, 3 do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then
    removed = removed + 1
    redis.call('HINCRBY', KEYS[2], 'bytes', -tonumber(ARGV[i + 1]))
    redis.call('HINCRBY', KEYS[2], 'records', -tonumber(ARGV[i + 2]))
  end
end
local empty = redis.call('XLEN', KEYS[1]) == 0
for _, sum in ipairs({'bytes', 'records'}) do
  if empty or tonumber(redis.call('HGET', KEYS[2], sum) or 0) < 0 then
    redis.call('HSET', KEYS[2], sum, 0)
  end
end
return removed
"""

_DEPTH = """#!lua flags=no-writes,allow-oom
local m = redis.call('HMGET', KEYS[2], 'bytes', 'records', 'max_bytes', 'max_records',
                     'admitted_batches', 'admitted_records')
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local now = redis.call('TIME')
local age = 0
if first then
  age = now[1] * 1000 + math.floor(now[2] / 1000)
        - tonumber(string.match(first[1], '^%d+'))
end
return {redis.call('XLEN', KEYS[1]), m[1] or '0', m[2] or '0', m[3] or ARGV[1],
        m[4] or ARGV[2], tostring(age), m[5] or '0', m[6] or '0'}
"""

# What came in last, without the payloads: they stay in the server.
_NEWEST = """#!lua flags=no-writes,allow-oom
local now = redis.call('TIME')
local found = {tostring(now[1] * 1000 + math.floor(now[2] / 1000))}
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])) do
  local source, size = '', 0
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'source' then source = entry[2][i + 1] end
    if entry[2][i] == 'payload' then size = #entry[2][i + 1] end
  end
  table.insert(found, {entry[1], source, size})
end
return found
"""

# A consumer's name may be forgotten only with nothing pending: XGROUP DELCONSUMER
# drops what is. One script, so that it cannot read something in between.
_FORGET = """#!lua flags=allow-oom
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if #pending > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the queue answered when it took a batch."""

    stream_id: bytes
    level_version: int


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


def options(connect_timeout: float, socket_timeout: float) -> dict[str, Any]:
    """Return the options that every client of the queue's server has."""
    return {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": connect_timeout,
        "socket_timeout": socket_timeout,
        "client_name": "godot-otel",
    }


def unreachable(error: Exception) -> RetryableError:
    """Turn a Redis client's error into ours; the text never holds the URL."""
    if isinstance(error, redis.AuthenticationError):
        return RetryableError("the queue refused the user or password")
    return RetryableError(f"the queue cannot be used: {type(error).__name__}")


class Producer:
    """Sends batches to the queue; synchronous, safe between threads and forks.

    Constructing it contacts nobody.
    """

    def __init__(
        self, url: str, *, connect_timeout: float = 0.5, socket_timeout: float = 2.0
    ) -> None:
        self.run: str | None = None
        """Which run of the server answered last; None while it has not said so."""
        chosen = options(connect_timeout, socket_timeout)
        chosen["redis_connect_func"] = self._greet
        try:
            self._redis = redis.Redis.from_url(url, **chosen)
        except ValueError as error:
            raise SettingError(f"the queue's URL is malformed: {error}") from None
        self._admit = self._redis.register_script(_ADMIT)

    def _greet(self, connection: Any) -> None:
        """Begin a connection, and learn whose it is: a restart is seen nowhere else."""
        connection.on_connect()
        try:
            connection.send_command("INFO", "server")
            facts = connection.read_response(disable_decoding=True)
        except ResponseError:  # a user who may not ask
            facts = b""
        found = _RUN.search(facts)
        self.run = found[1].decode() if found else None

    def admit(self, entry: Entry) -> Admitted:
        """Hand one batch to the queue; once it returns, the queue holds the batch.

        Raises:
            QueueFullError: the queue is at one of its limits.
            RetryableError: no answer, or none that counts. The batch may be in the
                queue all the same; send it again with the same id.
        """
        arguments: list[Any] = [
            len(entry.payload), entry.records, DEFAULT_MAX_BYTES, DEFAULT_MAX_RECORDS,
            *entry.fields(),
        ]  # fmt: skip # sizes, limits, fields
        try:
            keys = [stream_key(entry.home), meta_key(entry.home)]
            reply = cast("list[Any]", self._admit(keys=keys, args=arguments))
        except (RedisError, OSError) as error:
            raise unreachable(error) from error
        fault.point("after_xadd_sent")  # the answer is read, and nobody told
        if not reply[0]:
            raise QueueFullError(f"the queue is full ({reply[1].decode()})")
        return Admitted(reply[1], levels.version(reply[2]))

    # The level board. Each of these raises RetryableError when there is no answer.

    def level_version(self) -> int:
        """Say which version the board has; another one means: read it again."""
        try:
            found = cast(Any, self._redis.hget(meta_key(), "level_version"))
        except (RedisError, OSError) as error:
            raise unreachable(error) from error
        return levels.version(found)

    def levels(self) -> LevelBoard:
        """Read the levels that hold now, with the time each has left."""
        return levels.board(self._board(levels.READ))

    def set_level(self, target: str, level: str, ttl: float) -> int:
        """Set a level for *ttl* seconds; return the board's new version.

        *level* must be a key of ``levels.LEVELS``.
        """
        milliseconds = min(round(ttl * 1000), levels.MAX_TTL_MS)
        return int(self._board(levels.SET, target, level, milliseconds))

    def reset_level(self, target: str | None = None) -> int:
        """End one level, or all of them, before its time; return how many ended."""
        return int(self._board(levels.RESET, *([] if target is None else [target])))

    def register(self, instance: str, facts: Mapping[str, Any]) -> int:
        """Show that *instance* lives, and what it has applied; return the version.

        Must be called again within every 30 s: commands ask who is there.
        """
        text = json.dumps(dict(facts), separators=(",", ":"))
        return levels.version(self._board(levels.REGISTER, instance, text))

    def unregister(self, instance: str) -> None:
        """Forget an instance that ends."""
        try:
            self._redis.hdel(instances_key(), instance)
        except (RedisError, OSError) as error:
            raise unreachable(error) from error

    def instances(self) -> list[Instance]:
        """Read who is registered, and for how long nobody heard of each."""
        return levels.instances(self._board(levels.INSTANCES))

    def _board(self, script: str, *arguments: str | int) -> Any:
        try:
            registered = self._redis.register_script(script)
            return registered(keys=board_keys(), args=list(arguments))
        except (RedisError, OSError) as error:
            raise unreachable(error) from error

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()


Fields = Mapping[bytes, bytes]
Delivered = tuple[bytes, Fields]
"""A stream id and the entry's fields, as they came."""


def stream_milliseconds(stream_id: bytes) -> int:
    """The queue's clock when it admitted an entry, in Unix milliseconds."""
    return int(stream_id.partition(b"-")[0])


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
        self._acknowledge = self._redis.register_script(_ACKNOWLEDGE)
        self._depth = self._redis.register_script(_DEPTH)
        self._newest = self._redis.register_script(_NEWEST)
        self._forget = self._redis.register_script(_FORGET)

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
