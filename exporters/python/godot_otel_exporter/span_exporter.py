"""The exporter of spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from godot_otel_exporter.encode import Encoded, encode_spans
from godot_otel_exporter.queue_exporter import QueueExporter
from godot_otel_exporter.span_encoder import SpanEncoder


class GodotSpanExporter(QueueExporter, SpanExporter):
    """Exports spans; its arguments are those of ``QueueExporter``."""

    signal: ClassVar[str] = "traces"

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._encoder = SpanEncoder(self._redactor)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand *spans* to the queue, or else to the spool; never raise.

        SUCCESS: one of them holds all spans. FAILURE: some were dropped and counted.
        """
        sent = self._send(spans)
        return SpanExportResult.SUCCESS if sent else SpanExportResult.FAILURE

    def _encode(self, items: Sequence[ReadableSpan]) -> Encoded:
        return encode_spans(items, self._encoder)
