"""Secrets in OTLP messages that others made: replaced in place, at any depth.

What our own exporter sends is redacted where it was logged; this is for those who send
OTLP by themselves. Which values are secrets is ``godot_otel.redact``'s to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from godot_otel.redact import REDACTED, Redactor


def redact(request: ExportLogsServiceRequest, redactor: Redactor) -> None:
    """Replace what is secret in resources, scopes, bodies and attributes.

    Fields that no version known here has are dropped: nobody could look into them.
    """
    request.DiscardUnknownFields()
    for group in request.resource_logs:
        _pairs(group.resource.attributes, redactor)
        for scope in group.scope_logs:
            _pairs(scope.scope.attributes, redactor)
            for record in scope.log_records:
                _value(record.body, redactor)
                _pairs(record.attributes, redactor)


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
        text = value.string_value
        clean = redactor.text(text)
        if clean is not text:
            value.string_value = clean
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
