"""A trace's records as OTLP/JSON: what came in, whole; the lines, then the spans."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from godot_otel import store
from godot_otel.query import cursor as cursors
from godot_otel.query.cursor import Position
from godot_otel.query.filters import FilterError, Filters
from godot_otel.query.otlp_records import (
    LOG_COLUMNS,
    SPAN_COLUMNS,
    Row,
    Said,
    log_record,
    span,
)
from godot_otel.query.otlp_values import pairs
from godot_otel.query.packs import stored
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.slices import Slice, ahead, trace_slices, whole_trace_id
from godot_otel.query.walk import keyset

MAX_CHARACTERS = 8 * 1024 * 1024  # of an answer's bodies and attributes
_START = Position(datetime(1970, 1, 1, tzinfo=UTC))
_RESOURCES = (
    "SELECT id, attributes::text, dropped_attributes, schema_url FROM resources"
    " WHERE id = ANY(%s)"
)
_SCOPES = (
    "SELECT id, attributes::text, dropped_attributes, schema_url, name, version"
    " FROM scopes WHERE id = ANY(%s)"
)


@dataclass(frozen=True, slots=True)
class _Signal:
    """How the records of one table become OTLP."""

    table: str
    columns: str
    condition: str
    texts: slice
    """Which columns hold long texts."""
    record: Callable[[Row], Said]
    names: tuple[str, str, str]
    """What resources, scopes and records are named in a request."""


# In reading order. Rows that the collector made of spans' events are no records.
_SIGNALS = (
    _Signal(
        "logs", LOG_COLUMNS,
        "NOT coalesce(l.event_name = 'exception'"
        """ AND l.attributes @> '{"godot.span_event": true}', false)""",
        slice(13, 16), log_record, ("resourceLogs", "scopeLogs", "logRecords"),
    ),
    _Signal(
        "spans", SPAN_COLUMNS, "true",
        slice(14, 18), span, ("resourceSpans", "scopeSpans", "spans"),
    ),
)  # fmt: skip # one signal after the other


@dataclass(frozen=True, slots=True)
class Records:
    """An ExportLogsServiceRequest and an ExportTraceServiceRequest in OTLP's JSON, as
    one object, and the cursor to go on with."""

    request: Said
    next_cursor: str | None


async def otlp(
    reader: Reader, filters: Filters, *, limit: int = 1000, cursor: str = ""
) -> Records:
    """Return the records of the trace that ``filters.trace`` means: its lines in time
    order, then its spans.

    Without any, ``resourceLogs`` and ``resourceSpans`` are empty.

    Raises:
        FilterError: the id is the beginning of several, or the cursor is none.
    """
    assert filters.trace is not None
    digest = filters.digest("otlp")
    begin, at = 0, None
    if cursor.strip():
        begin, *numbers = cursors.decode(cursor, digest, 4)[2:]
        if begin not in range(len(_SIGNALS)):
            raise FilterError("cursor: not one that an earlier answer gave")
        at = cursors.position(numbers)
    request: Said = {}
    room, characters, more = limit, MAX_CHARACTERS, None
    async with reader.connection() as connection:
        trace_id = await whole_trace_id(connection, filters.trace)
        pieces: list[Slice] = []
        if trace_id is not None:
            pieces = await trace_slices(connection, trace_id)
        for number, signal in enumerate(_SIGNALS):
            rows: list[Row] = []
            if trace_id is not None and more is None and number >= begin:
                position = at if number == begin else None
                rows = await _read(
                    connection, signal, trace_id, pieces, position, room + 1
                )
            kept, characters = _fitting(signal, rows[:room], characters, limit - room)
            if len(kept) < len(rows):
                last = Position(*kept[-1][:3]) if kept else position or _START
                more = (number, last.time, last.nanos, last.seq)
            room -= len(kept)
            request[signal.names[0]] = await _request(connection, signal, kept)
    if more is None:
        return Records(request, None)
    return Records(request, cursors.encode(digest, None, None, *more))


async def _read(
    connection: store.Connection,
    signal: _Signal,
    trace_id: UUID,
    pieces: Iterable[Slice],
    position: Position | None,
    limit: int,
) -> list[Row]:
    rows: list[Row] = []
    for piece in ahead(pieces, position, newest=False):
        clauses = keyset(piece, position, newest=False)
        clauses.add("l.trace_id = %s", trace_id)
        source = stored(piece, table=signal.table, traces=[trace_id], whole=True)
        statement = " ".join([
            "SELECT", signal.columns, "FROM", str(source), "AS l WHERE",
            str(clauses), "AND", signal.condition,
            "ORDER BY l.time + '0'::interval, l.time_nanos, l.seq LIMIT %s",
        ])  # fmt: skip # the statement as it reads
        values = [*source.values, *clauses.values, limit - len(rows)]
        rows += await fetch(connection, statement, values)
        if len(rows) >= limit:
            break
    return rows


def _fitting(
    signal: _Signal, rows: list[Row], characters: int, before: int
) -> tuple[list[Row], int]:
    """Those of *rows* that an answer holds, and how many characters it still does.

    At least one, where there are no others *before* them.
    """
    for place, row in enumerate(rows):
        size = sum(len(text) for text in row[signal.texts] if text)
        if size > characters and place + before > 0:
            return rows[:place], 0
        characters = max(0, characters - size)
    return rows, characters


async def _request(
    connection: store.Connection, signal: _Signal, rows: Sequence[Row]
) -> list[Said]:
    resources = await _by_id(connection, _RESOURCES, {row[3] for row in rows})
    scopes = await _by_id(connection, _SCOPES, {row[4] for row in rows})
    return _grouped(signal, rows, resources, scopes)


async def _by_id(
    connection: store.Connection, statement: str, ids: set[int]
) -> dict[int, Row]:
    if not ids:
        return {}
    rows = await fetch(connection, statement, [list(ids)])
    return {row[0]: row[1:] for row in rows}


def _grouped(
    signal: _Signal,
    rows: Iterable[Row],
    resources: dict[int, Row],
    scopes: dict[int, Row],
) -> list[Said]:
    """Records below their scopes below their resources, in the order of the first."""
    groups: dict[int, dict[int, list[Said]]] = {}
    for row in rows:
        below = groups.setdefault(row[3], {})
        below.setdefault(row[4], []).append(signal.record(row))
    _, scopes_name, records_name = signal.names
    unknown = ("{}", 0, "", "", "")  # forgotten; only the id on the row is left
    return [
        _with_schema(
            resources.get(resource, unknown),
            resource=_shared(resources.get(resource, unknown)),
            **{
                scopes_name: [
                    _with_schema(
                        scopes.get(scope, unknown),
                        scope=_scope(scopes.get(scope, unknown)),
                        **{records_name: records},
                    )
                    for scope, records in below.items()
                ]
            },
        )
        for resource, below in groups.items()
    ]


def _with_schema(facts: Row, **members: Any) -> Said:
    return members | ({"schemaUrl": facts[2]} if facts[2] else {})


def _shared(facts: Row) -> Said:
    made: Said = {"attributes": pairs(json.loads(facts[0]))}
    if facts[1]:
        made["droppedAttributesCount"] = facts[1]
    return made


def _scope(facts: Row) -> Said:
    named = {"name": facts[3], "version": facts[4]}
    return {key: text for key, text in named.items() if text} | _shared(facts)
