"""Two traces beside each other: what the one did that the other did not, or longer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from godot_otel import store
from godot_otel.query.dictionary import templates
from godot_otel.query.difference import Difference, Differs, Kind, Operation
from godot_otel.query.failing import failing, reason
from godot_otel.query.filters import (
    LEVELS,
    FilterError,
    Filters,
    TraceIds,
    level_name,
    parse,
)
from godot_otel.query.line import COLUMNS, Line
from godot_otel.query.logs import MAX_LIMIT
from godot_otel.query.packs import stored
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.slices import Slice, trace_slices, whole_trace_id
from godot_otel.query.span import Span
from godot_otel.query.trace import Trace, summaries, trace_spans
from godot_otel.query.tree import build


async def compare(reader: Reader, filters: Filters, other: str) -> Difference:
    """Say what the trace of *filters* has that the trace *other* has not, and back.

    Raises:
        FilterError: an id is none, of no trace that is stored, or of several.
    """
    assert filters.trace is not None
    try:
        wanted = parse(trace_id=other).trace
    except FilterError as error:
        raise FilterError(f"compare_to: {error}") from None
    assert wanted is not None
    async with reader.connection() as connection:
        here = await _known(connection, filters.trace, "trace id")
        there = await _known(connection, wanted, "compare_to")
        sides = [await _side(connection, one) for one in (here, there)]
        kinds = await _kinds(connection, sides[0].lines, sides[1].lines)
    return Difference(
        here,
        there,
        _fails(sides[0]),
        _fails(sides[1]),
        operations=operations(sides[0].spans, sides[1].spans),
        templates=kinds,
    )


def operations(here: Iterable[Span], there: Iterable[Span]) -> list[Differs]:
    """The operations that two traces' spans do not have alike, the weightiest first."""
    ours, theirs = _summed(here), _summed(there)
    pairs = [
        Differs(*key, ours.get(key, Operation()), theirs.get(key, Operation()))
        for key in {**ours, **theirs}
    ]
    return sorted((one for one in pairs if one.change), key=lambda one: one.weight)


def _summed(spans: Iterable[Span]) -> dict[tuple[str, str], Operation]:
    found: dict[tuple[str, str], Operation] = {}
    for one in spans:
        key = (one.service, one.name)
        known = found.get(key, Operation())
        found[key] = Operation(
            known.count + 1,
            known.errors + one.failed,
            known.duration_ns + one.duration_ns,
        )
    return found


@dataclass(frozen=True, slots=True)
class _Side:
    spans: list[Span]
    errors: list[Line]
    """Those that may say in which span it failed."""
    lines: dict[tuple[str, int, int], int]
    """How many by service, severity and template."""


async def _known(connection: store.Connection, ids: TraceIds, title: str) -> Trace:
    trace_id = await whole_trace_id(connection, ids)
    known = {} if trace_id is None else await summaries(connection, [trace_id])
    if trace_id is None or trace_id not in known:
        raise FilterError(f"{title}: no such trace is stored: {ids.hex}")
    return known[trace_id]


async def _side(connection: store.Connection, one: Trace) -> _Side:
    trace_id = UUID(hex=one.id)
    pieces = await trace_slices(connection, trace_id)
    spans = await trace_spans(connection, trace_id, pieces) if one.spans else []
    errors: list[Line] = []
    counted: dict[tuple[str, int, int], int] = {}
    for piece in pieces:
        if spans and one.errors:
            errors += await _errors(connection, trace_id, piece)
        source = stored(piece, traces=[trace_id])
        rows = await fetch(
            connection,
            "SELECT service, severity, template_id, count(*) FROM {source} AS l"
            " WHERE time >= %s AND time < %s AND trace_id = %s GROUP BY 1, 2, 3",
            [*source.values, piece.lower, piece.upper, trace_id],
            source=source,
        )
        for *key, lines in rows:
            where = (key[0], key[1], key[2])
            counted[where] = counted.get(where, 0) + lines
    return _Side(spans, errors, counted)


async def _errors(
    connection: store.Connection, trace_id: UUID, piece: Slice
) -> list[Line]:
    source = stored(piece, traces=[trace_id])
    rows = await fetch(
        connection,
        "SELECT {columns} FROM {source} AS l WHERE l.time >= %s AND l.time < %s"
        " AND l.trace_id = %s AND l.severity >= %s"
        " ORDER BY l.time, l.time_nanos, l.seq LIMIT %s",
        [
            *source.values,
            piece.lower,
            piece.upper,
            trace_id,
            LEVELS["ERROR"],
            MAX_LIMIT,
        ],
        columns=COLUMNS,
        source=source,
    )
    return [Line.of(row) for row in rows]


async def _kinds(
    connection: store.Connection,
    here: dict[tuple[str, int, int], int],
    there: dict[tuple[str, int, int], int],
) -> list[Kind]:
    """The kinds of lines with other counts: those of one alone first, the gravest."""
    changed = [key for key in {**here, **there} if here.get(key) != there.get(key)]
    known = await templates(connection, {key[2] for key in changed})
    changed.sort(key=lambda key: (key in here and key in there, -key[1], key))
    return [
        Kind(
            service,
            level_name(severity),
            known[number].text if number in known else "(other)",
            here.get((service, severity, number), 0),
            there.get((service, severity, number), 0),
        )
        for service, severity, number in changed
    ]


def _fails(side: _Side) -> str:
    node = failing(build(side.spans, side.errors))
    if node is None or node.span is None:
        return ""
    parts = [node.span.service, node.span.name, reason(node)]
    return ": ".join(one for one in parts if one)
