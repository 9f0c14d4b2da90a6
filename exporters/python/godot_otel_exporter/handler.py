"""Hands each log call on: straight to our queue, or through OpenTelemetry.

The direct way costs a fraction of the other. It is taken while our processor is the
only one of the provider; whoever adds a second one, at any time, gets every record.
"""

from __future__ import annotations

import contextlib
import logging
from contextvars import ContextVar
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber

from godot_otel_exporter import capture
from godot_otel_exporter._compat import (
    LoggerProvider,
    processors_of,
    takes_records_unchanged,
)
from godot_otel_exporter.capture import Captured
from godot_otel_exporter.diagnostics import report
from godot_otel_exporter.processor import GodotLogRecordProcessor


class Handler:
    """Takes the records of ``logging`` for one provider, from *level* on."""

    def __init__(self, provider: LoggerProvider, *, level: int, direct: bool) -> None:
        self.level = level
        self._provider = provider
        self._direct = direct and takes_records_unchanged(provider)
        self._emitting: ContextVar[bool] = ContextVar("godot_otel_emitting")
        self._seen: Any = None
        self._processor: GodotLogRecordProcessor | None = None

    def handle(self, record: logging.LogRecord) -> None:
        """Hand *record* on; never raises."""
        try:
            processors = processors_of(self._provider)
            if processors is not self._seen:
                self._look_at(processors)
            captured = capture.capture(record)
            if (processor := self._processor) is not None:
                processor.put(captured)
            elif not self._emitting.get(False):
                # The SDK and its processors may log about a record that they take: a
                # record about each such record would make endless ones.
                token = self._emitting.set(True)
                try:
                    self._emit(captured)
                finally:
                    self._emitting.reset(token)
        except Exception as error:  # the record is lost, its author lives
            report("internal", "a log record is lost: %s", type(error).__name__)
            if self._processor is not None:
                self._processor.lose()

    def _look_at(self, processors: Any) -> None:
        self._processor = None
        if self._direct and len(processors) == 1:
            (only,) = processors
            if isinstance(only, GodotLogRecordProcessor):
                only.serve(self._provider)
                self._processor = only
        self._seen = processors

    def _emit(self, captured: Captured) -> None:
        number, text = capture.severity(captured)
        moment = capture.moment(captured)
        record = LogRecord(
            timestamp=moment,
            observed_timestamp=moment,
            severity_text=text,
            severity_number=SeverityNumber(number),
            body=captured.message,
            attributes=capture.attributes(captured),
            event_name=capture.event_name(captured),
        )
        span = captured.span
        record.trace_id, record.span_id = span.trace_id, span.span_id
        record.trace_flags = span.trace_flags
        self._provider.get_logger(captured.logger).emit(record)


def replace(handler: logging.Handler, *, direct: bool) -> Handler | None:
    """Return ours in place of *handler*; None when its provider is not the SDK's."""
    provider = getattr(handler, "_logger_provider", None)
    if not isinstance(provider, LoggerProvider):
        return None
    with contextlib.suppress(Exception):
        # At exit logging flushes every handler, and this one would start a thread for
        # it, which newer Pythons refuse.
        handler.flush = lambda: None  # type: ignore[method-assign]
    return Handler(provider, level=handler.level, direct=direct)
