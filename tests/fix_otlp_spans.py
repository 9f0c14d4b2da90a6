"""Batches of spans as exporters make them, for tests of what comes after."""

import itertools
import time
from collections.abc import Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from godot_otel import queue

TRACE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
_ids = itertools.count(1)


def span(
    name: str = "GET /cart",
    *,
    trace_id: bytes = TRACE,
    parent: bytes = b"",
    kind: int = Span.SPAN_KIND_SERVER,
    status: int = 0,
    message: str = "",
    milliseconds: float = 5,
    time_ns: int | None = None,
    attributes: dict[str, str | int] | None = None,
) -> Span:
    start = time.time_ns() if time_ns is None else time_ns
    made = Span(
        trace_id=trace_id,
        span_id=next(_ids).to_bytes(8, "big"),
        parent_span_id=parent,
        name=name,
        kind=kind,
        start_time_unix_nano=start,
        end_time_unix_nano=start + int(milliseconds * 1e6),
        flags=1,
    )
    if status or message:
        made.status.code, made.status.message = status, message
    add(made.attributes, attributes or {})
    return made


def raised(made: Span, kind: str, message: str, trace: str = "Traceback ...") -> Span:
    """Let *made* tell of an exception, as ``Span.record_exception`` does."""
    event = made.events.add(
        name="exception", time_unix_nano=made.end_time_unix_nano - 1000
    )
    add(
        event.attributes,
        {
            "exception.type": kind,
            "exception.message": message,
            "exception.stacktrace": trace,
            "exception.escaped": "False",
        },
    )
    return made


def add(target, attributes: dict[str, str | int]) -> None:
    for key, value in attributes.items():
        slot = target.add(key=key).value
        if isinstance(value, int):
            slot.int_value = value
        else:
            slot.string_value = value


def request(
    spans: Sequence[Span],
    *,
    service: str = "shop",
    scope: str = "shop.views",
    environment: str = "test",
) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    add(
        group.resource.attributes,
        {
            "service.name": service,
            "service.version": "1.4.2",
            "deployment.environment.name": environment,
        },
    )
    inner = group.scope_spans.add()
    inner.scope.name = scope
    inner.spans.extend(spans)
    return message


def entry(spans: Sequence[Span], **options: str) -> queue.Entry:
    return of(request(spans, **options), len(spans))


def of(message: ExportTraceServiceRequest, spans: int) -> queue.Entry:
    return queue.Entry(queue.batch_id(), b"traces", spans, message.SerializeToString())
