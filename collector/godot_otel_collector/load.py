"""Says in the log when the queue fills up: how full, by whom, until when it will do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque

from redis.exceptions import RedisError

from godot_otel.queue import Arrival, Depth, Queue

log = logging.getLogger(__name__)

INTERVAL = 5.0
SAY_INTERVAL = 60.0
_SAMPLES = 13  # a minute of them
_NEWEST = 100
_FILLING, _CALM = (
    0.5,
    0.4,
)  # apart, or a queue around the half would be said each minute
_MIB = 1024 * 1024


class Load:
    """Looks at the queue every few seconds, and speaks once a minute at most."""

    def __init__(
        self, source: Queue, *, stopping: asyncio.Event, interval: float = INTERVAL
    ) -> None:
        self._queue = source
        self._stopping = stopping
        self._interval = interval
        self._samples: deque[tuple[float, Depth]] = deque(maxlen=_SAMPLES)
        self._state = "calm"
        self._said_at = 0.0

    async def run(self) -> None:
        """Look until the collector stops."""
        while not self._stopping.is_set():
            try:
                await self._look()
            except (RedisError, OSError):
                self._samples.clear()  # the reader says that the queue is away
            except Exception:
                log.exception("cannot judge the load", extra={"action": "load_failed"})
                return  # whatever it is, what is collected must not be lost for it
            try:
                await asyncio.wait_for(self._stopping.wait(), self._interval)
            except TimeoutError:
                continue

    async def _look(self) -> None:
        depth = await self._queue.depth()
        now = time.monotonic()
        self._samples.append((now, depth))
        if len(self._samples) < 2:
            return  # no rate is known yet
        filled = _filled(depth)
        if filled < (_FILLING if self._state == "calm" else _CALM):
            self._recover(depth)
            return
        newest = await self._queue.newest(_NEWEST)
        state = "full" if _refuses(depth, newest) else "filling"
        if state != self._state or now - self._said_at >= SAY_INTERVAL:
            self._say(state, depth, newest)
            self._state, self._said_at = state, now

    def _recover(self, depth: Depth) -> None:
        if self._state != "calm":
            self._state = "calm"
            log.info("the queue has recovered: %s", _text(depth),
                     extra={"action": "queue_recovered"})  # fmt: skip # one sentence

    def _say(self, state: str, depth: Depth, newest: list[Arrival]) -> None:
        begins = "full and refuses more" if state == "full" else "filling up"
        parts = [f"the queue is {begins}: {_text(depth)}", _talker(newest)]
        if state == "filling":
            parts.append(self._holds(depth))
        log.warning("%s", "; ".join(part for part in parts if part),
                    extra={"action": f"queue_{state}"})  # fmt: skip # one sentence

    def _holds(self, depth: Depth) -> str:
        """Say for how long there is room at the rate of the last minute."""
        then, first = self._samples[0]
        seconds = time.monotonic() - then
        rooms = [
            (most - now) * seconds / (now - before)
            for before, now, most in (
                (first.bytes, depth.bytes, depth.max_bytes),
                (first.records, depth.records, depth.max_records),
            )
            if now > before
        ]
        if not rooms:
            return "it is not growing"
        return f"at this rate the queue holds {_duration(max(0.0, min(rooms)))}"


def _filled(depth: Depth) -> float:
    # A limit of 0 is how somebody stops admission by hand.
    parts = (depth.bytes, depth.max_bytes), (depth.records, depth.max_records)
    return max(used / most if most else 1.0 for used, most in parts)


def _refuses(depth: Depth, newest: list[Arrival]) -> bool:
    """Whether the larger of the batches that come would not be admitted now."""
    batches = max(1, depth.batches)
    size = max((one.bytes for one in newest), default=0)
    records = depth.records // batches
    return (
        depth.bytes + size > depth.max_bytes
        or depth.records + records > depth.max_records
    )


def _text(depth: Depth) -> str:
    return (
        f"{_filled(depth):.0%}, {depth.records:,} of {depth.max_records:,} records,"
        f" {depth.bytes / _MIB:.1f} of {depth.max_bytes / _MIB:.0f} MiB, the oldest for"
        f" {_duration(depth.oldest_age_seconds)}"
    )


def _talker(newest: list[Arrival]) -> str:
    """Name the service that sent most of late, and how much a second."""
    sent: Counter[str] = Counter()
    for one in newest:
        sent[one.service] += one.bytes
    if not sent:
        return ""
    ((service, size),) = sent.most_common(1)
    seconds = max(0.1, newest[-1].age_seconds)
    name = service[:100] or "services without a name"
    return f"most comes from {name}: {size / seconds / 1000:,.1f} kB/s"


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s"
