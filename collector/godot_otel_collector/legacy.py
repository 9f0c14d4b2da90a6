"""Drains the JSON list of the original system's clients into the queue, exactly once.

Those push objects at the list's head; the oldest are at its tail. One script moves
some of them to a working list, whose name holds the id minted for their batch; it goes
once the queue holds that batch. Whoever finds one that was left behind does the same
again under the same id, and the ledger knows what was stored: so it is harmless when
two collectors do it, and when either is killed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Any, cast

import redis
from redis.exceptions import RedisError, ResponseError

from godot_otel import queue
from godot_otel.errors import GodotError
from godot_otel.redact import Redactor
from godot_otel_collector.legacy_items import encode

log = logging.getLogger(__name__)

MAX_ITEMS = 1000
MAX_BYTES = 1024 * 1024  # of JSON; as OTLP they stay below a batch's limit
IDLE_SECONDS = 0.2
LEFT_SECONDS = 15
"""A working list that is older than this is taken to be left by a dead collector."""

_INDEX = "godot:{0}:legacy"  # names the working lists, and when they were made

# allow-oom: moving takes no memory, and a server without any must get rid of some.
_TAKE = """#!lua flags=allow-oom
local taken, size = 0, 0
while taken < tonumber(ARGV[1]) do
  local item = redis.call('LINDEX', KEYS[1], -1)
  if not item or (taken > 0 and size + #item > tonumber(ARGV[2])) then break end
  redis.call('LMOVE', KEYS[1], KEYS[2], 'RIGHT', 'RIGHT')
  taken, size = taken + 1, size + #item
end
if taken > 0 then
  redis.call('ZADD', KEYS[3], redis.call('TIME')[1], ARGV[3])
end
return taken
"""

_LEFT = """#!lua flags=no-writes,allow-oom
local before = redis.call('TIME')[1] - tonumber(ARGV[1])
return redis.call('ZRANGE', KEYS[1], '-inf', before, 'BYSCORE', 'LIMIT', 0, 1)
"""

_DROP = """#!lua flags=allow-oom
redis.call('DEL', KEYS[1])
return redis.call('ZREM', KEYS[2], ARGV[1])
"""


class Legacy:
    """Moves the items of *name*, a list of the queue's server, until told to stop."""

    def __init__(
        self, url: str, name: str, *, redactor: Redactor, stopping: asyncio.Event
    ) -> None:
        self._name = name
        self._redactor = redactor
        self._stopping = stopping
        self._producer = queue.Producer(url)
        self._redis = redis.Redis.from_url(url, **queue.options(0.5, 2.0))
        self._take = self._redis.register_script(_TAKE)
        self._left = self._redis.register_script(_LEFT)
        self._drop = self._redis.register_script(_DROP)
        self._in_hand: str | None = None
        self._said = ""

    async def run(self) -> None:
        """Drain the list; wait while the queue is full or away."""
        while not self._stopping.is_set():
            try:
                moved = await asyncio.to_thread(self._step)
            except (GodotError, RedisError, OSError) as error:
                self._say(error)
                await self._sleep(1.0)
            else:
                self._said = ""
                if not moved:
                    await self._sleep(IDLE_SECONDS)
        await asyncio.to_thread(self._close)

    def _say(self, error: Exception) -> None:
        if isinstance(error, ResponseError):
            reason = f"the server refused a command: {error}"  # it is no list, say
        elif isinstance(error, GodotError):
            reason = str(error)
        else:
            reason = str(queue.unreachable(error))
        if reason != self._said:
            self._said = reason
            log.warning("the list %s waits: %s", self._name, reason,
                        extra={"action": "legacy_waiting"})  # fmt: skip

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    def _step(self) -> bool:
        """Bring one working list to the queue; False when there is nothing to bring."""
        # What a full queue refused stays in hand: nothing more is taken meanwhile.
        if self._in_hand is None:
            self._in_hand = self._left_behind() or self._taken()
        if self._in_hand is None:
            return False
        self._finish(self._in_hand)
        self._in_hand = None
        return True

    def _taken(self) -> str | None:
        """Move items to a new working list; return its id in hex."""
        identity = queue.batch_id().hex()
        keys = [self._name, _working(identity), _INDEX]
        moved = self._take(keys=keys, args=[MAX_ITEMS, MAX_BYTES, identity])
        return identity if moved else None

    def _left_behind(self) -> str | None:
        found = cast(Any, self._left(keys=[_INDEX], args=[LEFT_SECONDS]))
        return found[0].decode() if found else None

    def _finish(self, identity: str) -> None:
        items = cast(Any, self._redis.lrange(_working(identity), 0, -1))
        for entry in entries(bytes.fromhex(identity), items, self._redactor):
            self._producer.admit(entry)
        # Only now: killed before, the next collector does all of it again.
        self._drop(keys=[_working(identity), _INDEX], args=[identity])

    def _close(self) -> None:
        self._producer.close()
        self._redis.close()


def _working(identity: str) -> str:
    return f"{_INDEX}:{identity}"


def entries(
    identity: bytes, items: list[bytes], redactor: Redactor
) -> list[queue.Entry]:
    """Make the batch of a working list, and an entry of each item that is none.

    Must give the same for the same items: it may be done twice.
    """
    milliseconds = int.from_bytes(identity[:6], "big")
    found = encode(items, redactor, observed_ns=milliseconds * 1_000_000)
    made = []
    for place, reason in found.refused:
        text = items[place][: queue.MAX_BATCH_BYTES].decode("utf-8", "surrogateescape")
        raw = redactor.text(text).encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(b"%b%d" % (identity, place), digest_size=10).digest()
        own = queue.derived_id(milliseconds, digest)
        made.append(queue.Entry(own, b"logs", 1, raw, dead=reason.encode()))
    if found.records:
        made.append(queue.Entry(identity, b"logs", found.records, found.payload))
    return made
