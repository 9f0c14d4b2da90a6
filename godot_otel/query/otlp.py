"""A trace's records as OTLP/JSON: what came in, whole.

The collector stores AnyValues as JSON (``godot_otel_collector.values``) and moves what
does not fit a column into attributes ``log.original_*``; this turns both back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from godot_otel import store
from godot_otel.query import cursor as cursors
from godot_otel.query.clauses import Clauses
from godot_otel.query.cursor import Position
from godot_otel.query.filters import Filters, level_name
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.slices import ahead, trace_slices, whole_trace_id
from godot_otel.query.walk import keyset

MAX_CHARACTERS = 8 * 1024 * 1024  # of an answer's bodies and attributes
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# JSON as text: psycopg would not tell a body of null from none.
_COLUMNS = (
    "l.time, l.time_nanos, l.seq, l.resource_id, l.scope_id, l.observed_time,"
    " l.observed_nanos, l.trace_id, l.span_id, l.trace_flags, l.severity,"
    " l.severity_text, l.event_name, l.body, l.body_data::text, l.attributes::text,"
    " l.dropped_attributes"
)
_RESOURCES = (
    "SELECT id, attributes::text, dropped_attributes, schema_url FROM resources"
    " WHERE id = ANY(%s)"
)
_SCOPES = (
    "SELECT id, attributes::text, dropped_attributes, schema_url, name, version"
    " FROM scopes WHERE id = ANY(%s)"
)


@dataclass(frozen=True, slots=True)
class Records:
    """An ExportLogsServiceRequest in OTLP's JSON, and the cursor to go on with."""

    request: dict[str, Any]
    next_cursor: str | None


async def otlp(
    reader: Reader, filters: Filters, *, limit: int = 1000, cursor: str = ""
) -> Records:
    """Return the records of the trace that ``filters.trace`` means, in time order.

    Without any, ``resourceLogs`` is empty.

    Raises:
        FilterError: the id is the beginning of several, or the cursor is none.
    """
    assert filters.trace is not None
    digest = filters.digest("otlp")
    at = None
    if cursor.strip():
        at = cursors.position(cursors.decode(cursor, digest, 3)[2:])
    async with reader.connection() as connection:
        rows: list[tuple[Any, ...]] = []
        trace_id = await whole_trace_id(connection, filters.trace)
        if trace_id is not None:
            pieces = await trace_slices(connection, trace_id, None, None)
            for piece in ahead(pieces, at, newest=False):
                clauses = keyset(piece, at, newest=False)
                clauses.add("l.trace_id = %s", trace_id)
                rows += await _rows(connection, clauses, limit + 1 - len(rows))
                if len(rows) > limit:
                    break
        kept = rows[: min(limit, _fitting(rows))]
        resources = await _by_id(connection, _RESOURCES, {row[3] for row in kept})
        scopes = await _by_id(connection, _SCOPES, {row[4] for row in kept})
    more = None
    if len(rows) > len(kept):
        last = Position(*kept[-1][:3])
        more = cursors.encode(digest, None, None, last.time, last.nanos, last.seq)
    return Records({"resourceLogs": _grouped(kept, resources, scopes)}, more)


def _fitting(rows: list[tuple[Any, ...]]) -> int:
    """How many rows an answer holds; at least one."""
    left = MAX_CHARACTERS
    for place, row in enumerate(rows):
        left -= sum(len(text) for text in row[13:16] if text)
        if left < 0:
            return max(1, place)
    return len(rows)


async def _rows(
    connection: store.Connection, clauses: Clauses, limit: int
) -> list[tuple[Any, ...]]:
    statement = " ".join([
        "SELECT", _COLUMNS, "FROM logs AS l WHERE", str(clauses),
        "ORDER BY l.time + '0'::interval, l.time_nanos, l.seq LIMIT %s",
    ])  # fmt: skip # the statement as it reads
    return await fetch(connection, statement, [*clauses.values, limit])


async def _by_id(
    connection: store.Connection, statement: str, ids: set[int]
) -> dict[int, tuple[Any, ...]]:
    rows = await fetch(connection, statement, [list(ids)])
    return {row[0]: row[1:] for row in rows}


def _grouped(
    rows: Iterable[tuple[Any, ...]],
    resources: dict[int, tuple[Any, ...]],
    scopes: dict[int, tuple[Any, ...]],
) -> list[dict[str, Any]]:
    """Records below their scopes below their resources, in the order of the first."""
    groups: dict[int, dict[int, list[dict[str, Any]]]] = {}
    for row in rows:
        below = groups.setdefault(row[3], {})
        below.setdefault(row[4], []).append(_record(row))
    unknown = ("{}", 0, "", "", "")  # forgotten; only the id on the row is left
    return [
        _with_schema(
            resources.get(resource, unknown),
            resource=_shared(resources.get(resource, unknown)),
            scopeLogs=[
                _with_schema(
                    scopes.get(scope, unknown),
                    scope=_scope(scopes.get(scope, unknown)),
                    logRecords=records,
                )
                for scope, records in below.items()
            ],
        )
        for resource, below in groups.items()
    ]


def _with_schema(facts: tuple[Any, ...], **members: Any) -> dict[str, Any]:
    return members | ({"schemaUrl": facts[2]} if facts[2] else {})


def _shared(facts: tuple[Any, ...]) -> dict[str, Any]:
    made: dict[str, Any] = {"attributes": _pairs(json.loads(facts[0]))}
    if facts[1]:
        made["droppedAttributesCount"] = facts[1]
    return made


def _scope(facts: tuple[Any, ...]) -> dict[str, Any]:
    named = {"name": facts[3], "version": facts[4]}
    return {key: text for key, text in named.items() if text} | _shared(facts)


def _record(row: tuple[Any, ...]) -> dict[str, Any]:
    (time, nanos, _, _, _, observed, observed_nanos, trace_id, span_id, flags, severity,
     severity_text, event, body, data, attributes, dropped) = row  # fmt: skip # a row
    members = json.loads(attributes or "{}")
    original = _originals(members)
    if severity_text is None:
        severity_text = level_name(severity)
    said = {
        "timeUnixNano": str(original.get("time", _nanoseconds(time, nanos))),
        "observedTimeUnixNano": observed
        and str(_nanoseconds(observed, observed_nanos)),
        "severityNumber": original.get("severity", severity),
        "severityText": severity_text,
        "body": _body(body, data),
        "attributes": _pairs(members),
        "droppedAttributesCount": dropped,
        "flags": flags,
        "traceId": trace_id and trace_id.hex,
        "spanId": original.get("span_id", span_id and bytes(span_id).hex()),
        "eventName": event,
    }
    return {key: value for key, value in said.items() if value not in (None, "", 0)}


def _originals(members: dict[str, Any]) -> dict[str, Any]:
    """Take out what the collector put among the attributes, by its column."""
    kinds = {"time": int, "severity": int, "span_id": str}
    found = {}
    for name, kind in kinds.items():
        key = f"log.original_{name}"
        if isinstance(members.get(key), kind):
            found[name] = members.pop(key)
    return found


def _nanoseconds(time: datetime, nanos: int | None) -> int:
    return (time - _EPOCH) // _MICROSECOND * 1000 + (nanos or 0)


def _body(body: str, data: str | None) -> dict[str, Any] | None:
    if data is None:
        return {"stringValue": body}
    return _any(json.loads(data)) or None


def _pairs(members: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key.removeprefix("$"), "value": _any(value)}
        for key, value in members.items()
    ]


def _any(value: Any) -> dict[str, Any]:
    """Turn JSON of the store into an AnyValue of OTLP's JSON."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any(item) for item in value]}}
    if isinstance(value, dict):
        return _object(value)
    return {}


def _object(value: dict[str, Any]) -> dict[str, Any]:
    if list(value) == ["$bytes"]:
        return {"bytesValue": value["$bytes"]}
    if list(value) == ["$double"]:
        return {"doubleValue": _double(float(value["$double"]))}
    return {"kvlistValue": {"values": _pairs(value)}}


def _double(number: float) -> float | str:
    """JSON has no such numbers; OTLP's writes protobuf's names."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number
