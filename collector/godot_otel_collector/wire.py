"""The OTLP requests for logs and spans, parsed no deeper than decoding needs.

These messages have the field numbers of opentelemetry/proto/logs/v1/logs.proto and
trace/v1/trace.proto, but what decoding can copy or look up as a whole - strings,
bodies, attributes, resources - is declared ``bytes``, which has the same encoding on
the wire. So an attribute that was seen before is found by its bytes, a body is stored
without being copied into a string and back, and a string that is no UTF-8 spoils itself
alone, not the request.

Requests of both signals have one shape down to their records, whose fields have the
same numbers in both, and here the same names.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
Messages: TypeAlias = dict[str, list[tuple[int, str, Any]]]
"""Message -> its fields: number, name, type; a trailing * means repeated."""


def _requests(record: Any) -> Messages:
    return {
        "Request": [(1, "groups*", "Group")],
        "Group": [
            (1, "resource", _FIELD.TYPE_BYTES),
            (2, "scopes*", "Scope"),
            (3, "schema_url", _FIELD.TYPE_BYTES),
        ],
        "Scope": [
            (1, "scope", _FIELD.TYPE_BYTES),
            (2, "records*", record),
            (3, "schema_url", _FIELD.TYPE_BYTES),
        ],
    }


_LOGS: Messages = {
    **_requests("Record"),
    "Record": [
        (1, "time_unix_nano", _FIELD.TYPE_FIXED64),
        (2, "severity_number", _FIELD.TYPE_INT32),
        (3, "severity_text", _FIELD.TYPE_BYTES),
        (5, "body", _FIELD.TYPE_BYTES),
        (6, "attributes*", _FIELD.TYPE_BYTES),
        (7, "dropped_attributes_count", _FIELD.TYPE_UINT32),
        (8, "flags", _FIELD.TYPE_FIXED32),
        (9, "trace_id", _FIELD.TYPE_BYTES),
        (10, "span_id", _FIELD.TYPE_BYTES),
        (11, "observed_time_unix_nano", _FIELD.TYPE_FIXED64),
        (12, "event_name", _FIELD.TYPE_BYTES),
    ],
}
_SPANS: Messages = {
    **_requests("Span"),
    "Span": [
        (1, "trace_id", _FIELD.TYPE_BYTES),
        (2, "span_id", _FIELD.TYPE_BYTES),
        (3, "trace_state", _FIELD.TYPE_BYTES),
        (4, "parent_span_id", _FIELD.TYPE_BYTES),
        (5, "name", _FIELD.TYPE_BYTES),
        (6, "kind", _FIELD.TYPE_INT32),
        (7, "start_time_unix_nano", _FIELD.TYPE_FIXED64),
        (8, "end_time_unix_nano", _FIELD.TYPE_FIXED64),
        (9, "attributes*", _FIELD.TYPE_BYTES),
        (10, "dropped_attributes_count", _FIELD.TYPE_UINT32),
        (11, "events*", "Event"),
        (12, "dropped_events_count", _FIELD.TYPE_UINT32),
        (13, "links*", "Link"),
        (14, "dropped_links_count", _FIELD.TYPE_UINT32),
        (15, "status", _FIELD.TYPE_BYTES),
        (16, "flags", _FIELD.TYPE_FIXED32),
    ],
    "Event": [
        (1, "time_unix_nano", _FIELD.TYPE_FIXED64),
        (2, "name", _FIELD.TYPE_BYTES),
        (3, "attributes*", _FIELD.TYPE_BYTES),
        (4, "dropped_attributes_count", _FIELD.TYPE_UINT32),
    ],
    "Link": [
        (1, "trace_id", _FIELD.TYPE_BYTES),
        (2, "span_id", _FIELD.TYPE_BYTES),
        (3, "trace_state", _FIELD.TYPE_BYTES),
        (4, "attributes*", _FIELD.TYPE_BYTES),
        (5, "dropped_attributes_count", _FIELD.TYPE_UINT32),
        (6, "flags", _FIELD.TYPE_FIXED32),
    ],
}
_RARE = {"trace_state", "events*", "links*"}
_USUAL_SPANS: Messages = {
    **_requests("Span"),
    "Span": [
        field
        for field in _SPANS["Span"]
        if field[1] not in _RARE and not field[1].startswith("dropped")
    ],
}
_WHOLE_SPAN: Messages = {name: _SPANS[name] for name in ("Span", "Event", "Link")}


def declare(package: str, messages: Messages) -> Any:
    """Make the class of the first message; those it holds come with it."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )
    for message, fields in messages.items():
        described = file.message_type.add(name=message)
        for number, name, kind in fields:
            field = described.field.add(name=name.rstrip("*"), number=number)
            repeated = name.endswith("*")
            field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type = _FIELD.TYPE_MESSAGE
                field.type_name = f".{package}.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName(f"{package}.{next(iter(messages))}")
    return message_factory.GetMessageClass(found)


# Generated at import, so that types cannot be known to a checker.
LogsRequest: Any = declare("godot_otel.lean.logs", _LOGS)
"""An ExportLogsServiceRequest; ``LogsRequest.FromString(payload)``."""
SpansRequest: Any = declare("godot_otel.lean.spans", _SPANS)
"""An ExportTraceServiceRequest."""
UsualSpansRequest: Any = declare("godot_otel.lean.usual", _USUAL_SPANS)
"""The same, but what most spans do not have is among their unknown fields: to ask each
span for its events and links takes longer than to parse it."""
WholeSpan: Any = declare("godot_otel.lean.span", _WHOLE_SPAN)
"""A span with all its fields; ``WholeSpan.FromString(span.SerializeToString())``."""
Status: Any = declare(
    "godot_otel.lean.status",
    {"Status": [(2, "message", _FIELD.TYPE_BYTES), (3, "code", _FIELD.TYPE_INT32)]},
)
Whole: Any = declare("godot_otel.lean.whole", _requests(_FIELD.TYPE_BYTES))
"""A request of either signal, its records unparsed."""
Group: TypeAlias = Any
Scope: TypeAlias = Any
Record: TypeAlias = Any
Span: TypeAlias = Any
