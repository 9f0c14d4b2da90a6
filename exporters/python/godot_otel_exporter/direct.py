"""Captured log calls into OTLP, by hand where it pays.

In: what ``capture`` kept. Out: the bytes of OTLP's ``ResourceLogs``. What all calls of
one line and thread have in common is encoded once. Whatever is out of the ordinary
takes the standard way's path, field by field.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from types import SimpleNamespace
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from godot_otel.redact import Redactor
from godot_otel_exporter import capture, record, wire
from godot_otel_exporter._compat import LoggerProvider, limits_of
from godot_otel_exporter.capture import SITE, Captured
from godot_otel_exporter.groups import fill_resource
from godot_otel_exporter.pace import give_way
from godot_otel_exporter.pairs import Pairs
from godot_otel_exporter.values import SHORT, clean, fill_pairs

_CACHE_MAX = 4096
_SITE_ATTRIBUTES = 6


class Direct:
    """Encodes the log calls of one provider."""

    def __init__(self, provider: LoggerProvider, redactor: Redactor) -> None:
        self._provider = provider
        self._redactor = redactor
        self._sites: dict[Any, tuple[bytes, frozenset[str]]] = {}
        self._pairs = Pairs(LogRecord, wire.RECORD_ATTRIBUTES, redactor)
        self._resource: tuple[Resource | None, bytes] = (None, b"")
        self._count, self._length = limits_of(provider)
        self._most = (2**31 if self._count is None else self._count) - _SITE_ATTRIBUTES
        self._limited = self._most < 0 or self._length is not None

    def encode(self, calls: Iterable[Captured]) -> tuple[bytes, int]:
        """Encode *calls* as a part of an OTLP request; return how many are in it.

        Appended to any ``ExportLogsServiceRequest`` it adds to that.
        """
        loggers: dict[str, list[bytes]] = {}
        count = 0
        for number, call in enumerate(calls):
            give_way(number)
            try:
                data = self._record(call) or self._carefully(call)
            except Exception:
                data = self._carefully(call)
            if data:
                count += 1
                loggers.setdefault(call.logger, []).append(data)
        if not count:
            return b"", 0
        parts = [self._resource_head()]
        for name, records in loggers.items():
            data = b"".join((_scope_head(name), *records))
            parts.append(wire.framed(wire.SCOPE_LOGS, data))
        return wire.framed(wire.RESOURCE_LOGS, b"".join(parts)), count

    def _record(self, call: Captured) -> bytes:
        """Encode one call; nothing when it is one for the careful way."""
        message = call.message
        if self._limited or len(message) > SHORT:
            return b""
        own = call.extra
        site, names = self._site(call)
        parts = [wire.times(int(call.created * 1e9)), site]
        if call.exception or call.stack or (own and _names_event(own)):
            own = capture.own_attributes(call)
            if event := capture.event_name(call):
                parts.append(wire.framed(wire.EVENT_NAME, event.encode()))
        span = call.span
        if span is not INVALID_SPAN_CONTEXT:
            parts.append(wire.ids(span.trace_id, span.span_id, span.trace_flags))
        if call.logger == record.COLOURED:
            message = record.without_colours(message)
        text = self._redactor.text(message)
        if len(text) > SHORT:
            return b""
        parts.append(wire.framed(wire.BODY, wire.text_value(text.encode())))
        if own:
            if len(own) > self._most or not names.isdisjoint(own):
                return b""
            pair = self._pairs.encode
            parts += [pair(name, value) for name, value in own.items()]
        return wire.framed(wire.RECORDS, b"".join(parts))

    def _site(self, call: Captured) -> tuple[bytes, frozenset[str]]:
        key = call[:SITE]
        found = self._sites.get(key)
        if found is None:
            if len(self._sites) >= _CACHE_MAX:
                self._sites.clear()  # threads come and go
            found = self._sites[key] = self._new_site(call)
        return found

    def _new_site(self, call: Captured) -> tuple[bytes, frozenset[str]]:
        site = LogRecord()
        number, text = capture.severity(call)
        site.severity_number = number  # type: ignore[assignment] # an enum's value
        site.severity_text = text
        attributes = capture.site_attributes(call)
        fill_pairs(site.attributes, attributes, self._redactor)
        return site.SerializeToString(), frozenset(attributes)

    def _resource_head(self) -> bytes:
        """Encode the provider's resource, which changes in forked children."""
        resource = self._provider.resource
        if resource is not self._resource[0]:
            head = ResourceLogs()
            fill_resource(head, resource, self._redactor)
            self._resource = resource, head.SerializeToString()
        return self._resource[1]

    def _carefully(self, call: Captured) -> bytes:
        """Encode one as the standard way does: within the SDK's limits, by field."""
        found = capture.attributes(call)
        excess = 0 if self._count is None else max(0, len(found) - self._count)
        # The SDK drops the oldest; it would say so of each, through logging.
        kept = dict(islice(found.items(), excess, None))
        if self._length is not None:
            kept = {name: _cut(value, self._length) for name, value in kept.items()}
        number, text = capture.severity(call)
        moment = capture.moment(call)
        fields = SimpleNamespace(
            timestamp=moment, observed_timestamp=moment, trace_id=call.span.trace_id,
            span_id=call.span.span_id, trace_flags=call.span.trace_flags,
            severity_number=SimpleNamespace(value=number), severity_text=text,
            event_name=capture.event_name(call), body=call.message, attributes=kept,
        )  # fmt: skip # the fields of OpenTelemetry's record
        logs = ScopeLogs()
        record.add(logs.log_records, fields, excess, self._redactor, call.logger)
        return logs.SerializeToString()


def _scope_head(logger: str) -> bytes:
    head = ScopeLogs()
    head.scope.SetInParent()
    head.scope.name = clean(str(logger or ""))
    return head.SerializeToString()


def _cut(value: Any, length: int) -> Any:
    """Return *value*, every text in it no longer than *length* characters."""
    if isinstance(value, str):
        return value[:length]
    if isinstance(value, dict):
        return {name: _cut(item, length) for name, item in value.items()}
    if isinstance(value, list):
        return [_cut(item, length) for item in value]
    return value


def _names_event(extra: dict[str, Any]) -> bool:
    first, second = capture.EVENT_NAMES
    return first in extra or second in extra
