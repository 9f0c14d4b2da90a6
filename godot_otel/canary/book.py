"""The account of a canary's lines: sent, found, doubled, missing, or not there yet.

A line that is not found is missing only when it was given its time and nothing of that
time waits any more; until then it may still come, and is late when it does.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_LATENCIES = 10_000  # of the newest lines; a canary may sing for months


@dataclass(slots=True)
class Book:
    """Counts lines by their numbers; all times are seconds of one clock."""

    grace: float
    """Seconds that a line may take."""
    sent: int = 0
    stored: int = 0
    late: int = 0
    """Stored, after the grace time."""
    doubled: set[int] = field(default_factory=set)
    missing: dict[int, float] = field(default_factory=dict)
    waiting: dict[int, float] = field(default_factory=dict)
    """Not found yet, by number, with the time they were sent."""
    longest: float = 0.0
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES))
    _found: dict[int, tuple[float, int]] = field(default_factory=dict)

    def send(self, number: int, now: float) -> None:
        """Note a line that was logged."""
        self.sent += 1
        self.waiting[number] = now

    def read(self, found: Iterable[tuple[int, int]], now: float) -> None:
        """Note one answer of the store: a number and a seq for each row of it."""
        rows: set[int] = set()
        for number, seq in found:
            if number in rows:
                self.doubled.add(number)
            rows.add(number)
            known = self._found.get(number)
            if known is None:
                self._find(number, seq, now)
            elif known[1] != seq:
                self.doubled.add(number)

    def _find(self, number: int, seq: int, now: float) -> None:
        at = self.waiting.pop(number, None)
        if at is None:
            at = self.missing.pop(number, None)
        if at is None:
            return  # settled long ago
        self._found[number] = (at, seq)
        self.stored += 1
        latency = now - at
        self.late += latency > self.grace
        self.longest = max(self.longest, latency)
        self._latencies.append(latency)

    def settle(self, asked: float, waits_since: float | None) -> None:
        """Call missing what had its time when the store was *asked*.

        *waits_since*: the queue holds batches from then on, or infinity: none; None:
        that is not known, and all may still be there.
        """
        if waits_since is not None:
            due = min(asked - self.grace, waits_since)
            gone = {n: at for n, at in self.waiting.items() if at < due}
            self.missing |= gone
            for number in gone:
                del self.waiting[number]
        for number, (at, _) in list(self._found.items()):
            if at < asked - 2 * self.grace:
                del self._found[number]

    @property
    def oldest(self) -> float | None:
        """When the oldest line was sent that is still waited for."""
        return min(self.waiting.values(), default=None)

    @property
    def sound(self) -> bool:
        """Whether nothing is missing and nothing doubled."""
        return not self.missing and not self.doubled

    def as_json(self) -> dict[str, Any]:
        """The counts; latencies are milliseconds, null before the first line."""
        seconds = sorted(self._latencies)
        return {
            "sent": self.sent,
            "stored": self.stored,
            "missing": len(self.missing),
            "doubled": len(self.doubled),
            "late": self.late,
            "waiting": len(self.waiting),
            "p50_ms": _milliseconds(seconds, 0.5),
            "p99_ms": _milliseconds(seconds, 0.99),
            "max_ms": round(self.longest * 1000) if seconds else None,
        }


def _milliseconds(seconds: list[float], part: float) -> int | None:
    """The smallest of some sorted latencies that *part* of them do not exceed."""
    if not seconds:
        return None
    return round(seconds[math.ceil(len(seconds) * part) - 1] * 1000)
