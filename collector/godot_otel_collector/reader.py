"""Takes entries from the queue, and takes back what was lost on the way.

An entry that was delivered stays pending until it is acknowledged. It comes again from
three places: our own pending list after a failed read (a lost reply would otherwise
hide it for ever), the lists of consumers that died, and a group that was destroyed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket

from redis.exceptions import RedisError, ResponseError

from godot_otel import fault, queue

log = logging.getLogger(__name__)

BLOCK_MS = 500
BEAT_SECONDS = 3.0
DEAD_MS = 15_000
"""A consumer that did not even ask for this long is dead; should it wake, the ledger
absorbs what it does."""
_FORGET_MS = 3_600_000
_COUNT = 8


class Reader:
    """Delivers entries, each once until it is given back or acknowledged."""

    def __init__(self, source: queue.Queue, *, stopping: asyncio.Event) -> None:
        self._queue = source
        self._stopping = stopping
        self.consumer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._held: set[bytes] = set()
        self._lost = False
        self._claimed: asyncio.Queue[list[queue.Delivered]] = asyncio.Queue()
        self.reclaims = 0
        """Entries taken over from dead consumers or read a second time."""

    async def read(self, *, wait: bool) -> list[queue.Delivered]:
        """Return the next entries; with *wait*, up to half a second for the first.

        Never raises for a queue that is away: it says so, waits, and returns nothing.
        """
        try:
            if self._lost:
                found = await self._own_pending()
            elif not self._claimed.empty():
                found = self._claimed.get_nowait()
            else:
                found = await self._queue.read(
                    self.consumer, count=_COUNT, block_ms=BLOCK_MS if wait else None
                )
        except (RedisError, OSError) as error:
            await self._recover(error)
            return []
        if found:
            fault.point("after_read")
        new = [delivery for delivery in found if delivery[0] not in self._held]
        self._held.update(stream_id for stream_id, _ in new)
        return new

    async def _own_pending(self) -> list[queue.Delivered]:
        """Read again what was delivered to us, and not to our knowledge."""
        after, found = "0", []
        while page := await self._queue.pending_of(
            self.consumer, after=after, count=100
        ):
            after = page[-1][0].decode()
            found += [d for d in page if d[0] not in self._held]
        self._lost = False
        self.reclaims += len(found)
        return found

    async def _recover(self, error: Exception) -> None:
        self._lost = True  # the reply may have carried entries
        if isinstance(error, ResponseError) and str(error).startswith("NOGROUP"):
            log.warning("the queue's group is gone, creating it again",
                        extra={"action": "group_created"})  # fmt: skip # one sentence
            try:
                await self._queue.create_group()
            except (RedisError, OSError):
                log.warning("the queue is away", extra={"action": "queue_away"})
            else:
                return
        else:
            log.warning("the queue is away: %s", type(error).__name__,
                        extra={"action": "queue_away"})  # fmt: skip # one sentence
        try:
            await asyncio.wait_for(self._stopping.wait(), 1.0)
        except TimeoutError:
            return

    async def acknowledge(self, entries: list[tuple[bytes, int, int]]) -> None:
        """Remove stored entries from the queue, however long the queue is away.

        When the collector stops meanwhile they stay pending, and the ledger knows
        them when they come again.
        """
        while True:
            try:
                await self._queue.acknowledge(entries)
            except (RedisError, OSError) as error:
                await self._recover(error)
                if self._stopping.is_set():
                    return
            else:
                break
        fault.point("after_ack_before_del")  # both are one script
        self._held.difference_update(stream_id for stream_id, _, _ in entries)

    async def leave(self) -> None:
        """Take our name out of the group; what is pending under it keeps it there."""
        try:
            await self._queue.forget(self.consumer)
        except (RedisError, OSError):
            log.debug("the queue is away; our name stays")

    async def run_reclaim(self) -> None:
        """Show that we live, and take over what dead consumers hold; for ever."""
        while not self._stopping.is_set():
            try:
                await self._queue.beat(self.consumer)
                await self._reclaim()
            except (RedisError, OSError) as error:
                # What was claimed may be ours without our knowledge; nobody else
                # would ever take it, because we live.
                self._lost = True
                log.debug("no reclaim: %s", type(error).__name__)
            try:
                await asyncio.wait_for(self._stopping.wait(), BEAT_SECONDS)
            except TimeoutError:
                continue

    async def _reclaim(self) -> None:
        for row in await self._queue.consumers():
            name, idle = row["name"].decode(), int(row["idle"])
            if name == self.consumer or idle < DEAD_MS:
                continue
            if row["pending"]:
                found = await self._queue.claim(
                    name, self.consumer, idle_ms=DEAD_MS, count=100
                )
                if found:
                    self.reclaims += len(found)
                    await self._claimed.put(found)
                    log.info("took over %d batches of %s", len(found), name,
                             extra={"action": "reclaimed"})  # fmt: skip # one sentence
            elif idle > _FORGET_MS:
                await self._queue.forget(name)
