"""The spans that benchmarks use: traces of eight, as instrumentations make them.

A trace is a request to a server, which asks two other services and a database. Names,
kinds and attributes are those of OpenTelemetry's semantic conventions for HTTP and
databases; ids, paths and durations are random.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

from generator import ROUTES, SERVICES
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from godot_otel import queue

SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT
_TRACE = """Traceback (most recent call last):
  File "/srv/shop/payments.py", line 118, in charge
    return self._gateway.charge(order, card)
  File "/srv/shop/gateway.py", line 64, in charge
    raise CardDeclined(f"card {card} was declined")
shop.gateway.CardDeclined: card 4711 was declined
"""


def batches(
    spans: int,
    *,
    size: int = 512,
    seed: int = 1,
    clock: Callable[[], int] = time.time_ns,
) -> Iterator[queue.Entry]:
    """Yield entries that hold *spans* spans, *size* to an entry."""
    rng = random.Random(seed)
    trace_id, root, made = b"", b"", 0
    while made < spans:
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        service = rng.choice(SERVICES)
        _add(group.resource, "service.name", service)
        _add(group.resource, "service.version", "1.4.2")
        _add(group.resource, "deployment.environment.name", "production")
        scope = group.scope_spans.add()
        scope.scope.name = "opentelemetry.instrumentation.flask"
        count = min(size, spans - made)
        now = clock()
        for offset in range(count):
            span = scope.spans.add()
            place = (made + offset) % 8
            if place == 0:
                trace_id, root = rng.randbytes(16), rng.randbytes(8)
                span.span_id = root
            else:
                span.span_id, span.parent_span_id = rng.randbytes(8), root
            span.trace_id, span.flags = trace_id, 0x101
            span.start_time_unix_nano = now + offset * 1000
            took = int(rng.lognormvariate(15, 1.5))
            span.end_time_unix_nano = span.start_time_unix_nano + took
            (_server, _client, _database)[min(place % 4, 2)](span, rng)
            if rng.random() < 0.01:
                _failed(span)
        made += count
        minted = queue.batch_id(now // 1_000_000)
        yield queue.Entry(minted, b"traces", count, request.SerializeToString())


def _server(span: Span, rng: random.Random) -> None:
    route = rng.choice(ROUTES)
    span.name, span.kind = f"GET {route}", SERVER
    _add(span, "http.request.method", "GET")
    _add(span, "url.scheme", "http")
    _add(span, "url.path", f"{route}/{rng.randrange(50_000)}")
    _add(span, "http.route", route)
    _add(span, "server.address", "shop.internal")
    _add(span, "client.address", f"10.0.{rng.randrange(4)}.{rng.randrange(256)}")
    _add(span, "user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0")
    _add(span, "http.response.status_code", 200)


def _client(span: Span, rng: random.Random) -> None:
    span.name, span.kind = "GET", CLIENT
    number = rng.randrange(50_000)
    _add(span, "http.request.method", "GET")
    _add(span, "url.full", f"http://stock.internal:8080/items/{number}?full=1")
    _add(span, "server.address", "stock.internal")
    _add(span, "server.port", 8080)
    _add(span, "http.response.status_code", 200)


def _database(span: Span, rng: random.Random) -> None:
    table = rng.choice(("orders", "items", "customers"))
    span.name, span.kind = f"SELECT {table}", CLIENT
    _add(span, "db.system.name", "postgresql")
    _add(span, "db.namespace", "shop")
    _add(span, "db.query.text", f"SELECT * FROM {table} WHERE id = ? AND region = ?")
    _add(span, "server.address", "db.internal")


def _failed(span: Span) -> None:
    span.status.code, span.status.message = 2, "CardDeclined: card 4711 was declined"
    event = span.events.add(name="exception")
    event.time_unix_nano = span.end_time_unix_nano
    _add(event, "exception.type", "shop.gateway.CardDeclined")
    _add(event, "exception.message", "card 4711 was declined")
    _add(event, "exception.stacktrace", _TRACE)
    _add(event, "exception.escaped", "False")


def _add(message: object, key: str, value: str | int) -> None:
    slot = message.attributes.add(key=key).value
    if isinstance(value, int):
        slot.int_value = value
    else:
        slot.string_value = value
