"""Counts over time: every bucket of a window, the empty ones too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from godot_otel.query.counts import Count
from godot_otel.query.filters import FilterError
from godot_otel.query.line import rfc3339

MAX_BUCKETS = 200
MAX_NAMES = 6
OTHERS = "(others)"
_AUTO_BUCKETS = 61  # an hour by minutes, begun amid one
_AUTO = (1, 5, 15, 60, 360, 1440, 10080)  # minutes
_WIDTH = re.compile(r"(\d{1,5})([mhd])")
_MINUTES = {"m": 1, "h": 60, "d": 1440}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Histogram:
    """The lines of each bucket, by level or by the groups with most lines."""

    width: timedelta
    buckets: dict[datetime, dict[str, int]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        return {
            "bucket": written(self.width),
            "buckets": [
                {"start": rfc3339(start), "lines": sum(by.values()), "by": by}
                for start, by in self.buckets.items()
            ],
        }


def width(text: str, since: datetime, until: datetime) -> timedelta:
    """Read a bucket's width: 1m, 5m, 1h; ``auto`` fits the window.

    Raises:
        FilterError: it is none, or makes more than MAX_BUCKETS of the window.
    """
    span = until - since
    if text.strip().lower() == "auto":
        fits = (timedelta(minutes=one) for one in _AUTO)
        return next(
            (one for one in fits if span <= one * _AUTO_BUCKETS),
            timedelta(minutes=_AUTO[-1]),
        )
    found = _WIDTH.fullmatch(text.strip().lower())
    if not found or not int(found[1]):
        raise FilterError(f"bucket: {text[:100]!r} is none of 1m, 5m, 1h, 1d, auto")
    wide = timedelta(minutes=int(found[1]) * _MINUTES[found[2]])
    if span > wide * MAX_BUCKETS:
        raise FilterError(
            f"bucket: {text} makes more than {MAX_BUCKETS} of this window; write auto"
        )
    return wide


def written(wide: timedelta) -> str:
    """Write a width as it is read: 5m, 1h."""
    minutes = int(wide.total_seconds()) // 60
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


def histogram(
    counts: Iterable[tuple[datetime | None, str, Count]],
    wide: timedelta,
    since: datetime,
    until: datetime,
    names: list[str],
) -> Histogram:
    """Fill the buckets of a window; *names* beyond MAX_NAMES are counted together."""
    shown = names[:MAX_NAMES]
    start = _EPOCH + (since - _EPOCH) // wide * wide
    buckets: dict[datetime, dict[str, int]] = {}
    while start < until and len(buckets) <= MAX_BUCKETS:
        buckets[start] = {}
        start += wide
    for when, name, count in counts:
        if when is None:
            continue
        by = buckets.setdefault(when, {})
        slot = name if name in shown else OTHERS
        by[slot] = by.get(slot, 0) + count.lines
    for when, by in buckets.items():
        order = [*shown, OTHERS]
        buckets[when] = {name: by[name] for name in order if name in by}
    return Histogram(wide, dict(sorted(buckets.items())))
