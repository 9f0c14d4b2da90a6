"""The exporter of log records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from godot_otel_exporter._compat import (
    LoggerProvider,
    LogRecordExporter,
    LogRecordExportResult,
    ReadableLogRecord,
)
from godot_otel_exporter.capture import Captured
from godot_otel_exporter.direct import Direct
from godot_otel_exporter.encode import Encoded, encode
from godot_otel_exporter.queue_exporter import QueueExporter


class GodotLogRecordExporter(QueueExporter, LogRecordExporter):
    """Exports log records; its arguments are those of ``QueueExporter``."""

    signal: ClassVar[str] = "logs"
    _direct: Direct | None = None

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Hand *batch* to the queue, or else to the spool; never raise.

        SUCCESS: one of them holds all records. FAILURE: some were dropped and counted.
        """
        sent = self._send(batch)
        return LogRecordExportResult.SUCCESS if sent else LogRecordExportResult.FAILURE

    def serve(self, provider: LoggerProvider) -> None:
        """Encode the log calls that were captured for *provider*."""
        self._direct = Direct(provider, self._redactor)
        self.named(provider.resource)

    def _encode(self, items: Sequence[Captured | ReadableLogRecord]) -> Encoded:
        return encode(items, self._redactor, self._direct)
