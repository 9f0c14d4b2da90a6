"""Secrets in OTLP messages that others made: replaced in place, at any depth.

What our own exporter sends is redacted where it was logged; this is for those who send
OTLP by themselves. Which values are secrets is ``godot_otel.redact``'s to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from godot_otel.redact import REDACTED, Redactor


def redact(
    request: ExportLogsServiceRequest | ExportTraceServiceRequest, redactor: Redactor
) -> None:
    """Replace what is secret in resources, scopes and records.

    Fields that no version known here has are dropped: nobody could look into them.
    """
    request.DiscardUnknownFields()
    if isinstance(request, ExportLogsServiceRequest):
        for logs in request.resource_logs:
            _pairs(logs.resource.attributes, redactor)
            for scope in logs.scope_logs:
                _pairs(scope.scope.attributes, redactor)
                for record in scope.log_records:
                    _value(record.body, redactor)
                    _text(record, "severity_text", redactor)
                    _text(record, "event_name", redactor)
                    _pairs(record.attributes, redactor)
        return
    for group in request.resource_spans:
        _pairs(group.resource.attributes, redactor)
        for inner in group.scope_spans:
            _pairs(inner.scope.attributes, redactor)
            for span in inner.spans:
                _span(span, redactor)


def _span(span: Span, redactor: Redactor) -> None:
    _text(span, "name", redactor)
    _pairs(span.attributes, redactor)
    if span.status.message:  # reading it does not make one
        _text(span.status, "message", redactor)
    for event in span.events:
        _text(event, "name", redactor)
        _pairs(event.attributes, redactor)
    for link in span.links:
        _pairs(link.attributes, redactor)


def _text(message: Any, field: str, redactor: Redactor) -> None:
    text = getattr(message, field)
    clean = redactor.text(text)
    if clean is not text:
        setattr(message, field, clean)


def _pairs(
    pairs: Iterable[KeyValue], redactor: Redactor, *, nested: bool = False
) -> None:
    for pair in pairs:
        if redactor.is_secret(pair.key):
            pair.value.string_value = REDACTED
        else:
            _value(pair.value, redactor, nested=nested)


def _value(value: AnyValue, redactor: Redactor, *, nested: bool = False) -> None:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        _text(value, "string_value", redactor)
    elif kind == "kvlist_value":
        _pairs(value.kvlist_value.values, redactor, nested=True)
    elif kind == "array_value":
        _array(value.array_value.values, redactor, nested=nested)


def _array(items: Sequence[AnyValue], redactor: Redactor, *, nested: bool) -> None:
    if nested and len(items) == 2 and redactor.is_secret(_name(items[0])):
        items[1].string_value = REDACTED  # a header among headers: ("cookie", "...")
    option = False
    for item in items:
        name = item.string_value
        if option:  # of a command line: ("--password", "...")
            item.string_value = REDACTED
        else:
            _value(item, redactor, nested=True)
        option = name.startswith("--") and redactor.is_secret(name)


def _name(value: AnyValue) -> str:
    return value.string_value or value.bytes_value.decode("latin-1")
