"""Log records into OTLP requests, filled in place.

In: what OpenTelemetry's SDK hands to an exporter. Out: batches the queue takes. One bad
record costs its bad field, or at worst itself, never the batch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)

from godot_otel.queue import MAX_BATCH_BYTES
from godot_otel_exporter._compat import ReadableLogRecord
from godot_otel_exporter.redact import Redactor
from godot_otel_exporter.values import clean, cut, fill_body, fill_pairs

TRUNCATED = "log.truncated_bytes"
# OpenTelemetry's logging instrumentation copies the record's own ids into these.
REDUNDANT = ("otelTraceID", "otelSpanID", "otelTraceSampled", "otelServiceName")

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_UINT64 = 2**64
_SHORT_BODY = 16_384  # characters that cannot exceed the cap, whatever they are


@dataclass(frozen=True, slots=True)
class Batch:
    """One OTLP request and how many records it holds."""

    payload: bytes
    records: int


@dataclass(slots=True)
class Encoded:
    """The batches made of some records, and what did not get into them, by reason."""

    batches: list[Batch] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def encode(records: Sequence[ReadableLogRecord], redactor: Redactor) -> Encoded:
    """Encode *records* as batches of at most ``MAX_BATCH_BYTES``; never raises."""
    request = ExportLogsServiceRequest()
    count = _fill_request(request, records, redactor)
    if request.ByteSize() <= MAX_BATCH_BYTES:
        encoded = Encoded(dropped=Counter(unencodable=len(records) - count))
        if count:
            encoded.batches.append(Batch(request.SerializeToString(), count))
        return encoded
    if len(records) == 1:
        return Encoded(dropped=Counter(too_large=1))
    middle = len(records) // 2
    first, second = (
        encode(part, redactor) for part in (records[:middle], records[middle:])
    )
    return Encoded(first.batches + second.batches, first.dropped + second.dropped)


def _fill_request(
    request: ExportLogsServiceRequest,
    records: Sequence[ReadableLogRecord],
    redactor: Redactor,
) -> int:
    """Add every record that can be; return how many those are."""
    groups = _Groups(request, redactor)
    count = 0
    for record in records:
        try:
            logs = groups.logs_of(record)
        except Exception:  # noqa: S112 # counted by the caller: it is not in the sum
            continue
        count += _add(logs, record, redactor)
    return count


def _add(logs: Any, record: ReadableLogRecord, redactor: Redactor) -> int:
    scope = record.instrumentation_scope
    colours = scope is not None and scope.name == "werkzeug"
    for form in (_as_it_is, _cleaned):
        target = logs.add()
        try:
            _fill(target, form(record.log_record), redactor, colours)
            target.dropped_attributes_count = record.dropped_attributes
        except Exception:
            logs.pop()
        else:
            return 1
    return 0


class _Groups:
    """Finds the list a record belongs into, by its resource and scope.

    By identity first: hashing a resource costs more than encoding a record.
    """

    def __init__(self, request: ExportLogsServiceRequest, redactor: Redactor) -> None:
        self._request = request
        self._redactor = redactor
        self._resources: dict[int, Any] = {}
        self._scopes: dict[tuple[int, Any], Any] = {}
        self._logs: dict[tuple[int, int], Any] = {}

    def logs_of(self, record: ReadableLogRecord) -> Any:
        """Return the repeated field the record must be added to."""
        identity = id(record.resource), id(record.instrumentation_scope)
        logs = self._logs.get(identity)
        if logs is None:
            # A logger with scope attributes makes an equal scope for every record.
            key = identity[0], record.instrumentation_scope
            logs = self._scopes.get(key)
            if logs is None:
                logs = self._scopes[key] = self._add_scope(record)
            self._logs[identity] = logs
        return logs

    def _add_scope(self, record: ReadableLogRecord) -> Any:
        group = self._resources.get(id(record.resource))
        if group is None:
            group = self._request.resource_logs.add()
            group.resource.SetInParent()
            if record.resource is not None:
                self._fill(group.resource.attributes, record.resource.attributes)
                group.schema_url = clean(record.resource.schema_url or "")
            self._resources[id(record.resource)] = group
        logs, scope = group.scope_logs.add(), record.instrumentation_scope
        logs.scope.SetInParent()
        if scope is not None:
            logs.scope.name = clean(str(scope.name or ""))
            logs.scope.version = clean(str(scope.version or ""))
            self._fill(logs.scope.attributes, scope.attributes or {})
            logs.schema_url = clean(scope.schema_url or "")
        return logs.log_records

    def _fill(self, target: Any, attributes: Mapping[str, Any]) -> None:
        try:
            fill_pairs(target, attributes, self._redactor)
        except Exception:
            del target[:]
            fill_pairs(target, clean(attributes), self._redactor)


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
    body = record.body
    if colours and isinstance(body, str):
        body = _COLOURS.sub("", body)
    lost = 0
    if (
        type(body) is str
        and len(body) <= _SHORT_BODY
        and len(text := redactor.text(body)) <= _SHORT_BODY
    ):
        target.body.string_value = text
    else:
        lost = fill_body(target.body, body, redactor)
    if record.attributes:
        attributes = record.attributes.copy()
        if REDUNDANT[0] in attributes:
            for name in REDUNDANT:
                attributes.pop(name, None)
        fill_pairs(target.attributes, attributes, redactor)
    if lost:
        fill_pairs(target.attributes, {TRUNCATED: lost}, redactor)


def _as_it_is(record: Any) -> Any:
    return record


def _cleaned(record: Any) -> Any:
    """Return *record* with every field made encodable, each by itself."""
    severity = getattr(record.severity_number, "value", None)
    attributes = record.attributes
    return SimpleNamespace(
        timestamp=_within(record.timestamp, _UINT64),
        observed_timestamp=_within(record.observed_timestamp, _UINT64),
        trace_id=_within(record.trace_id, 2**128),
        span_id=_within(record.span_id, 2**64),
        trace_flags=_within(record.trace_flags, 2**32),
        severity_number=SimpleNamespace(value=_within(severity, 2**31)),
        severity_text=_text(record.severity_text),
        event_name=_text(record.event_name),
        body=clean(record.body),
        attributes=clean(attributes) if isinstance(attributes, Mapping) else {},
    )


def _within(number: Any, limit: int) -> int:
    return number if isinstance(number, int) and 0 <= number < limit else 0


def _text(value: Any) -> str:
    return cut(str(clean(value)), 1024)[0] if value is not None else ""
