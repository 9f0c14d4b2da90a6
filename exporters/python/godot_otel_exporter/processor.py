"""The processor of log records, of the direct way and of OpenTelemetry's Logs API."""

from __future__ import annotations

import copy

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource

from godot_otel_exporter._compat import (
    LoggerProvider,
    LogRecordProcessor,
    ReadableLogRecord,
    ReadWriteLogRecord,
)
from godot_otel_exporter.batcher import Batcher
from godot_otel_exporter.batching import Batching
from godot_otel_exporter.capture import Captured
from godot_otel_exporter.exporter import GodotLogRecordExporter
from godot_otel_exporter.memory import record_weight


class GodotLogRecordProcessor(Batcher, LogRecordProcessor):
    """Batches log records for a ``GodotLogRecordExporter``; see ``Batcher``."""

    _exporter: GodotLogRecordExporter

    def __init__(self, exporter: GodotLogRecordExporter) -> None:
        super().__init__(exporter, Batching.of("BLRP"))

    def start(self, provider: LoggerProvider) -> None:
        """Be ready for the log calls captured for *provider*, and follow its levels."""
        self._exporter.serve(provider)
        self._exporter.start()

    def serve(self, provider: LoggerProvider) -> None:
        """Take the log calls that are captured for *provider*."""
        self._exporter.serve(provider)

    def put(self, captured: Captured) -> None:
        """Add one log call; waits for room for 2 ms at most, never raises."""
        added = self._memory.put(captured, captured.level, captured.weight)
        if added and self._thread is None:
            self._start()

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Add one record that came through OpenTelemetry's Logs API."""
        record = copy.copy(log_record.log_record)
        resource = log_record.resource or Resource({})
        record.context = Context()  # it may hold much, and is not needed any more
        item = ReadableLogRecord(record, resource, log_record.instrumentation_scope)
        number = record.severity_number
        level = 0 if number is None else number.value * 10 // 4 + 8
        if self._memory.put(item, level, record_weight(item)) and self._thread is None:
            self._start()
