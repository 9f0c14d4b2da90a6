"""The processor of spans: takes each sampled one when it ends."""

from __future__ import annotations

import logging

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode

from godot_otel_exporter._compat import lighten
from godot_otel_exporter.batcher import Batcher
from godot_otel_exporter.batching import Batching
from godot_otel_exporter.diagnostics import report
from godot_otel_exporter.memory import span_weight
from godot_otel_exporter.span_exporter import GodotSpanExporter

_ERROR = StatusCode.ERROR


class GodotSpanProcessor(Batcher, SpanProcessor):
    """Batches spans for a ``GodotSpanExporter``; see ``Batcher``.

    A span whose status is ERROR counts as a record at ERROR.
    """

    _exporter: GodotSpanExporter

    def __init__(self, exporter: GodotSpanExporter) -> None:
        super().__init__(exporter, Batching.of("BSP"))

    def start(self, provider: TracerProvider) -> None:
        """Name this process by *provider*, and send what waits on disk."""
        self._exporter.named(provider.resource)
        self._exporter.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Add *span* if it is sampled; waits for 2 ms at most, never raises."""
        try:
            context = span.context
            if context is None or not context.trace_flags & 1:
                return
            level = logging.ERROR if span.status.status_code is _ERROR else 0
            lighten(span)
            memory = self._memory
            # Weighing takes longer than all the rest.
            weight = span_weight(span) if memory.behind else 0
            if memory.put(span, level, weight) and self._thread is None:
                self._start()
        except Exception as error:  # the span is lost, its author lives
            report("internal", "a span is lost: %s", type(error).__name__)
            self.lose()
