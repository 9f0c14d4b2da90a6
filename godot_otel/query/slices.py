"""The time slices a question touches: partitions cut to its window, in its order.

One statement reads one slice and so locks one partition: many readers at once stay far
from the server's lock table, and answers come early.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from godot_otel import store
from godot_otel.query.cursor import Position
from godot_otel.query.filters import FilterError, TraceIds
from godot_otel.query.reader import fetch

MICROSECOND = timedelta(microseconds=1)
_CANDIDATES = 6
_HAVING = {"logs": "true", "spans": "t.spans > 0"}  # rows of the index


@dataclass(frozen=True, slots=True)
class Slice:
    """[lower, upper) of a window, inside one partition's [floor, ceiling)."""

    floor: datetime
    ceiling: datetime
    lower: datetime
    upper: datetime
    packed: bool = False
    """Whether lines may have been packed when this was asked; they may be by now."""

    def cut(self, lower: datetime | None, upper: datetime | None) -> Slice:
        """Narrow the slice; it is empty when its bounds cross."""
        return replace(
            self,
            lower=max(self.lower, lower) if lower else self.lower,
            upper=min(self.upper, upper) if upper else self.upper,
        )


async def slices(
    connection: store.Connection,
    parent: str,
    since: datetime | None,
    until: datetime | None,
) -> list[Slice]:
    """The partitions of *parent* within a window, oldest first."""
    rows = await fetch(
        connection,
        "SELECT lower, upper, packed_at IS NOT NULL FROM partitions"
        " WHERE parent = %s AND dropped_at IS NULL"
        " AND upper > coalesce(%s::timestamptz, '-infinity')"
        " AND lower < coalesce(%s::timestamptz, 'infinity') ORDER BY lower",
        [parent, since, until],
    )
    whole = (Slice(lower, upper, lower, upper, packed) for lower, upper, packed in rows)
    return [piece.cut(since, until) for piece in whole]


def ahead(
    pieces: Iterable[Slice], position: Position | None, *, newest: bool
) -> list[Slice]:
    """What is still to be read after *position*, in reading order."""
    lower = None if position is None or newest else position.time
    upper = None
    if position is not None and newest:  # one without nanos and seq excludes its time
        upper = position.time + (MICROSECOND if position.nanos >= 0 else timedelta())
    left = [piece.cut(lower, upper) for piece in pieces]
    left = [piece for piece in left if piece.lower < piece.upper]
    return sorted(left, key=lambda piece: piece.lower, reverse=newest)


async def trace_slices(connection: store.Connection, trace_id: UUID) -> list[Slice]:
    """Where the rows of a trace are, without asking every partition."""
    found = await index_slices(connection, "logs", [trace_id])
    return [piece for piece, _ in found]


async def index_slices(
    connection: store.Connection,
    parent: str,
    ids: Collection[UUID],
    *,
    failed: bool = False,
) -> list[tuple[Slice, list[UUID]]]:
    """Where the rows of traces are, oldest first, with those that are there.

    A row of the index lies whole within a partition, or, where spans are in it that go
    on, reaches into those that follow. With *failed* only where error lines are.
    """
    rows = await fetch(
        connection,
        "SELECT p.lower, p.upper, greatest(min(t.first), p.lower),"
        " least(max(t.last) + %s, p.upper), array_agg(DISTINCT t.trace_id)"
        " FROM trace_index AS t JOIN partitions AS p ON p.parent = %s"
        " AND p.dropped_at IS NULL AND t.last >= p.lower AND t.first < p.upper"
        " WHERE t.trace_id = ANY(%s) AND {wanted}"
        " GROUP BY p.lower, p.upper ORDER BY p.lower",
        [MICROSECOND, parent, list(ids)],
        wanted="t.errors > 0" if failed else _HAVING[parent],
    )
    return [(Slice(*bounds), having) for *bounds, having in rows]


async def whole_trace_id(connection: store.Connection, ids: TraceIds) -> UUID | None:
    """Find the one stored trace that a prefix means; None when there is none.

    Raises:
        FilterError: there are several; the message lists them.
    """
    if ids.whole:
        return ids.low
    rows = await fetch(
        connection,
        "SELECT DISTINCT trace_id FROM trace_index WHERE trace_id BETWEEN %s AND %s"
        " ORDER BY trace_id LIMIT %s",
        [ids.low, ids.high, _CANDIDATES],
    )
    found = [trace_id.hex for (trace_id,) in rows]
    if len(found) > 1:
        more = ", and more" if len(found) == _CANDIDATES else ""
        listed = ", ".join(found[: _CANDIDATES - 1])
        raise FilterError(
            f"trace id: {ids.hex} is the beginning of several: {listed}{more}"
        )
    return UUID(found[0]) if found else None
