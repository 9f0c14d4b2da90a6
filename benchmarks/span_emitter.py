"""The program that ``emit_spans.py`` measures: makes spans one way, prints their cost.

python span_emitter.py plain|stock|ours CASE SPANS
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from emitter import measure
from opentelemetry import trace
from opentelemetry.trace import SpanKind

VALUES = {
    "http.request.method": "POST", "url.path": "/checkout/81723", "url.scheme": "http",
    "http.response.status_code": 200, "server.address": "127.0.0.1",
    "server.port": 8080, "network.peer.address": "10.2.137.15",
    "network.peer.port": 53312, "user_agent.original": "python-requests/2.32.3",
    "http.route": "/checkout/<int:cart>", "network.protocol.version": "1.1",
    "shop.amount": 149.5,
}  # fmt: skip # many a line


def main() -> None:
    way, case, spans = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
    flush = WAYS[way]()
    call = failing(case) if case.get("exceptions") else plain(case)
    time.sleep(0.5)
    print(json.dumps(measure(call, flush, spans, case["threads"])))


def plain(case: dict) -> Callable:
    tracer = trace.get_tracer("shop.orders", "1.4.2")
    attributes = dict(list(VALUES.items())[: case["attributes"]])
    kind = SpanKind.SERVER if case.get("server") else SpanKind.INTERNAL

    def call(number: int) -> None:
        with tracer.start_as_current_span("charge", kind=kind, attributes=attributes):
            pass

    return call


def failing(case: dict) -> Callable:
    tracer = trace.get_tracer("shop.orders", "1.4.2")
    attributes = dict(list(VALUES.items())[: case["attributes"]])

    def call(number: int) -> None:
        try:
            with tracer.start_as_current_span("charge", attributes=attributes):
                raise ValueError("the card was declined")
        except ValueError:
            return

    return call


def set_up_plain() -> Callable:
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
    return lambda: None


def set_up_stock() -> Callable:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )

    class Discarding(SpanExporter):
        def export(self, spans: list) -> SpanExportResult:
            encode_spans(spans).SerializeToString()
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    # All spans are to be encoded, as all of ours are sent: its queue drops none.
    provider.add_span_processor(BatchSpanProcessor(Discarding(), 1_000_000))
    trace.set_tracer_provider(provider)
    return provider.force_flush


def set_up_ours() -> Callable:
    from godot_otel_exporter import force_flush  # set up by `godot-otel run`

    return lambda: force_flush(60)


WAYS = {"plain": set_up_plain, "stock": set_up_stock, "ours": set_up_ours}

if __name__ == "__main__":
    main()
