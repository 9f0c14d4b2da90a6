"""Rows of ``logs`` and ``spans`` as records of OTLP's JSON.

What did not fit a column the collector moved into attributes ``log.original_*`` and
``span.original_*``; this turns it back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from godot_otel.query.filters import level_name
from godot_otel.query.otlp_values import any_value, pairs
from godot_otel.query.span import nanoseconds

Row = tuple[Any, ...]
Said = dict[str, Any]

# JSON as text: psycopg would not tell a body of null from none. Paging and grouping
# know the first five.
LOG_COLUMNS = (
    "l.time, l.time_nanos, l.seq, l.resource_id, l.scope_id, l.observed_time,"
    " l.observed_nanos, l.trace_id, l.span_id, l.trace_flags, l.severity,"
    " l.severity_text, l.event_name, l.body, l.body_data::text, l.attributes::text,"
    " l.dropped_attributes"
)
SPAN_COLUMNS = (
    "l.time, l.time_nanos, l.seq, l.resource_id, l.scope_id, l.duration_ns,"
    " l.trace_id, l.span_id, l.parent_id, l.trace_state, l.flags, l.name, l.kind,"
    " l.status, l.status_message, l.attributes::text, l.events::text, l.links::text,"
    " l.dropped_attributes, l.dropped_events, l.dropped_links"
)


def log_record(row: Row) -> Said:
    """A LogRecord."""
    (time, nanos, _, _, _, observed, observed_nanos, trace_id, span_id, flags, severity,
     severity_text, event, body, data, attributes, dropped) = row  # fmt: skip # a row
    members = json.loads(attributes or "{}")
    original = _originals(members, "log", _LOG_ORIGINALS)
    if severity_text is None:
        severity_text = level_name(severity)
    said = {
        "timeUnixNano": str(original.get("time", nanoseconds(time, nanos))),
        "observedTimeUnixNano": observed
        and str(nanoseconds(observed, observed_nanos or 0)),
        "severityNumber": original.get("severity", severity),
        "severityText": severity_text,
        "body": _body(body, data),
        "attributes": pairs(members),
        "droppedAttributesCount": dropped,
        "flags": flags,
        "traceId": trace_id and trace_id.hex,
        "spanId": original.get("span_id", span_id and bytes(span_id).hex()),
        "eventName": event,
    }
    return _without_empty(said)


_LOG_ORIGINALS = {"time": int, "severity": int, "span_id": str}
_SPAN_ORIGINALS = {
    "time": int, "end_time": int, "kind": int, "status": int, "parent_id": str,
}  # fmt: skip # one table


def span(row: Row) -> Said:
    """A Span."""
    (time, nanos, _, _, _, duration, trace_id, span_id, parent_id, trace_state, flags,
     name, kind, status, message, attributes, events, links, no_attributes, no_events,
     no_links) = row  # fmt: skip # a row
    members = json.loads(attributes or "{}")
    original = _originals(members, "span", _SPAN_ORIGINALS)
    start = original.get("time", nanoseconds(time, nanos))
    said = {
        "traceId": trace_id.hex,
        "spanId": bytes(span_id).hex(),
        "parentSpanId": original.get("parent_id", parent_id and bytes(parent_id).hex()),
        "traceState": trace_state,
        "flags": flags & 0xFFFFFFFF,
        "name": name,
        "kind": original.get("kind", kind),
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(original.get("end_time", start + duration)),
        "attributes": pairs(members),
        "droppedAttributesCount": no_attributes,
        "events": [_event(one) for one in json.loads(events or "[]")],
        "droppedEventsCount": no_events,
        "links": [_link(one) for one in json.loads(links or "[]")],
        "droppedLinksCount": no_links,
        "status": _without_empty(
            {"code": original.get("status", status), "message": message}
        )
        or None,
    }
    return _without_empty(said)


def _event(event: Said) -> Said:
    return _without_empty({
        "timeUnixNano": str(event.get("time", 0)),
        "name": event.get("name"),
        "attributes": pairs(event.get("attributes", {})),
        "droppedAttributesCount": event.get("dropped"),
    })  # fmt: skip # one object


def _link(link: Said) -> Said:
    return _without_empty({
        "traceId": link["trace_id"],
        "spanId": link["span_id"],
        "traceState": link.get("trace_state"),
        "flags": link.get("flags"),
        "attributes": pairs(link.get("attributes", {})),
        "droppedAttributesCount": link.get("dropped"),
    })  # fmt: skip # one object


def _without_empty(said: Said) -> Said:
    return {key: value for key, value in said.items() if value not in (None, "", 0)}


def _originals(members: Said, signal: str, kinds: Mapping[str, type]) -> Said:
    """Take out what the collector put among the attributes, by its column."""
    found = {}
    for name, kind in kinds.items():
        key = f"{signal}.original_{name}"
        if isinstance(members.get(key), kind):
            found[name] = members.pop(key)
    return found


def _body(body: str, data: str | None) -> dict[str, Any] | None:
    if data is None:
        return {"stringValue": body}
    return any_value(json.loads(data)) or None
