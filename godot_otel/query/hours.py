"""Which hours of a window are counted as a whole, and which minutes are left of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from godot_otel import sql, store
from godot_otel.query.reader import fetch
from godot_otel.query.slices import Slice

HOUR = timedelta(hours=1)
_PARTITIONS_A_STATEMENT = 12  # so that a wide window never holds many locks at once


async def counted_hours(
    connection: store.Connection,
    since: datetime | None,
    until: datetime | None,
    bucket: timedelta | None,
) -> list[datetime]:
    """Hours that ``log_hours`` and ``template_hours`` answer for, oldest first.

    None of them for buckets that an hour does not fit in, or a window below an hour.
    """
    if bucket and bucket % HOUR:
        return []
    if since and (until or datetime.now(UTC)) - since < HOUR:
        return []
    rows = await fetch(connection, sql.query("counted_hours"), [since, until])
    return [hour for (hour,) in rows]


def minutes(
    pieces: Iterable[Slice], hours: Collection[datetime]
) -> list[tuple[datetime, datetime]]:
    """What is left of *pieces* without *hours*, in stretches for one statement each."""
    whole = set(hours)
    found: list[tuple[datetime, datetime]] = []
    for piece in pieces:
        lower = piece.lower
        while lower < piece.upper:
            hour = lower.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            upper = min(hour + HOUR, piece.upper)
            if hour not in whole:
                longest = (piece.ceiling - piece.floor) * _PARTITIONS_A_STATEMENT
                _extend(found, lower, upper, longest)
            lower = upper
    return found


def _extend(
    found: list[tuple[datetime, datetime]],
    lower: datetime,
    upper: datetime,
    longest: timedelta,
) -> None:
    if found and found[-1][1] == lower:
        start = found[-1][0]
        if upper - start <= longest:
            found[-1] = start, upper
            return
    found.append((lower, upper))
