"""One log record into OTLP's ``LogRecord``, in place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from godot_otel.redact import Redactor
from godot_otel_exporter.values import clean, cut, fill_body, fill_pairs, within

TRUNCATED = "log.truncated_bytes"
# OpenTelemetry's logging instrumentation copies the record's own ids into these.
REDUNDANT = ("otelTraceID", "otelSpanID", "otelTraceSampled", "otelServiceName")
COLOURED = "werkzeug"
"""The logger whose lines have a terminal's colours in them."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_UINT64 = 2**64
_SHORT_BODY = 16_384  # characters that cannot exceed the cap, whatever they are


def add(logs: Any, record: Any, dropped: int, redactor: Redactor, logger: str) -> int:
    """Add *record*, which has the fields of OpenTelemetry's own, to *logs*.

    What cannot be encoded is replaced, field by field. Returns 1, or 0 when even that
    was not possible.
    """
    for form in (_as_it_is, _cleaned):
        target = logs.add()
        try:
            _fill(target, form(record), redactor, logger == COLOURED)
            target.dropped_attributes_count = dropped
        except Exception:
            logs.pop()
        else:
            return 1
    return 0


def set_body(target: Any, body: Any, redactor: Redactor, *, colours: bool) -> int:
    """Set the body; return how many bytes of it were cut away."""
    if body.__class__ is str:
        if colours:
            body = without_colours(body)
        if len(body) <= _SHORT_BODY and len(text := redactor.text(body)) <= _SHORT_BODY:
            target.body.string_value = text
            return 0
    return fill_body(target.body, body, redactor)


def without_colours(text: str) -> str:
    """Return *text* without a terminal's colours."""
    return _COLOURS.sub("", text)


def _fill(target: Any, record: Any, redactor: Redactor, colours: bool) -> None:
    if record.timestamp:
        target.time_unix_nano = record.timestamp
    if record.observed_timestamp:
        target.observed_time_unix_nano = record.observed_timestamp
    if record.trace_id:
        target.trace_id = record.trace_id.to_bytes(16, "big")
    if record.span_id:
        target.span_id = record.span_id.to_bytes(8, "big")
    if record.trace_flags:
        target.flags = record.trace_flags
    if record.severity_number is not None:
        target.severity_number = record.severity_number.value
    if record.severity_text:
        target.severity_text = record.severity_text
    if record.event_name:
        target.event_name = record.event_name
    lost = set_body(target, record.body, redactor, colours=colours)
    attributes = record.attributes.copy() if record.attributes else {}
    if REDUNDANT[0] in attributes:
        for name in REDUNDANT:
            attributes.pop(name, None)
    if lost:
        attributes[TRUNCATED] = lost
    fill_pairs(target.attributes, attributes, redactor)


def _as_it_is(record: Any) -> Any:
    return record


def _cleaned(record: Any) -> Any:
    """Return *record* with every field made encodable, each by itself."""
    severity = getattr(record.severity_number, "value", None)
    attributes = record.attributes
    return SimpleNamespace(
        timestamp=within(record.timestamp, _UINT64),
        observed_timestamp=within(record.observed_timestamp, _UINT64),
        trace_id=within(record.trace_id, 2**128),
        span_id=within(record.span_id, 2**64),
        trace_flags=within(record.trace_flags, 2**32),
        severity_number=SimpleNamespace(value=within(severity, 2**31)),
        severity_text=_text(record.severity_text),
        event_name=_text(record.event_name),
        body=clean(record.body),
        attributes=clean(attributes) if isinstance(attributes, Mapping) else {},
    )


def _text(value: Any) -> str:
    return cut(str(clean(value)), 1024)[0] if value is not None else ""
