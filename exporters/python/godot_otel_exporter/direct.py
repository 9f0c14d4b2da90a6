"""Captured log calls into OTLP's ``LogRecord``, in place.

What all calls of one line and thread have in common is encoded once and copied.
"""

from __future__ import annotations

from itertools import islice
from types import SimpleNamespace
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from godot_otel_exporter import capture, record
from godot_otel_exporter._compat import LoggerProvider, limits_of
from godot_otel_exporter.capture import SITE, Captured
from godot_otel_exporter.redact import Redactor
from godot_otel_exporter.values import fill_pairs

_SITES_MAX = 4096
_SITE_ATTRIBUTES = 6


class Direct:
    """Encodes the log calls of one provider."""

    def __init__(self, provider: LoggerProvider, redactor: Redactor) -> None:
        self._provider = provider
        self._redactor = redactor
        self._sites: dict[Any, tuple[bytes, frozenset[str]]] = {}
        self._count, self._length = limits_of(provider)
        self._most = (2**31 if self._count is None else self._count) - _SITE_ATTRIBUTES
        self._limited = self._most < 0 or self._length is not None

    @property
    def resource(self) -> Resource:
        """The provider's resource, which changes in forked children."""
        return self._provider.resource  # type: ignore[no-any-return] # untyped

    def add(self, logs: Any, captured: Captured) -> int:
        """Add one log call to *logs*; return 1, or 0 when it cannot be encoded."""
        target = logs.add()
        try:
            if self._fill(target, captured):
                return 1
        except Exception:  # noqa: S110 # the careful way follows
            pass
        logs.pop()
        return self._add_carefully(logs, captured)

    def _fill(self, target: Any, captured: Captured) -> bool:
        """Fill *target*; False when the record is one for the careful way."""
        if self._limited:
            return False
        own = captured.extra
        site, names = self._site(captured)
        if captured.exception or captured.stack or (own and _names_event(own)):
            own = capture.own_attributes(captured)
            if event := capture.event_name(captured):
                target.event_name = event
        if own and (len(own) > self._most or not names.isdisjoint(own)):
            return False
        target.MergeFromString(site)
        moment = int(captured.created * 1e9)
        target.time_unix_nano = moment
        target.observed_time_unix_nano = moment
        span = captured.span
        if span is not INVALID_SPAN_CONTEXT:
            target.trace_id = span.trace_id.to_bytes(16, "big")
            target.span_id = span.span_id.to_bytes(8, "big")
            target.flags = span.trace_flags
        lost = record.set_body(
            target, captured.message, self._redactor,
            colours=captured.logger == record.COLOURED,
        )  # fmt: skip # what, and how
        if lost:
            own = {**(own or {}), record.TRUNCATED: lost}
        if own:
            fill_pairs(target.attributes, own, self._redactor)
        return True

    def _site(self, captured: Captured) -> tuple[bytes, frozenset[str]]:
        key = captured[:SITE]
        found = self._sites.get(key)
        if found is None:
            if len(self._sites) >= _SITES_MAX:
                self._sites.clear()  # threads come and go: keep memory bounded
            found = self._sites[key] = self._new_site(captured)
        return found

    def _new_site(self, captured: Captured) -> tuple[bytes, frozenset[str]]:
        site = LogRecord()
        number, text = capture.severity(captured)
        site.severity_number = number  # type: ignore[assignment] # an enum's value
        site.severity_text = text
        attributes = capture.site_attributes(captured)
        fill_pairs(site.attributes, attributes, self._redactor)
        return site.SerializeToString(), frozenset(attributes)

    def _add_carefully(self, logs: Any, captured: Captured) -> int:
        """Add it as the standard way does: within the SDK's limits, field by field."""
        found = capture.attributes(captured)
        excess = 0 if self._count is None else max(0, len(found) - self._count)
        # The SDK drops the oldest; it would say so of each, through logging.
        kept = dict(islice(found.items(), excess, None))
        if self._length is not None:
            kept = {name: _cut(value, self._length) for name, value in kept.items()}
        number, text = capture.severity(captured)
        moment = capture.moment(captured)
        fields = SimpleNamespace(
            timestamp=moment, observed_timestamp=moment,
            trace_id=captured.span.trace_id, span_id=captured.span.span_id,
            trace_flags=captured.span.trace_flags,
            severity_number=SimpleNamespace(value=number), severity_text=text,
            event_name=capture.event_name(captured), body=captured.message,
            attributes=kept,
        )  # fmt: skip # the fields of OpenTelemetry's record
        return record.add(logs, fields, excess, self._redactor, captured.logger)


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
