"""Spans by OTLP/HTTP: taken as logs are, redacted, and stored once."""

import json
import os
import subprocess
import sys

import psycopg
import pytest
import redis
from fix_http import JSON, Client
from fix_otlp_spans import TRACE, add, raised, request, span
from fix_processes import CollectorProcess, ReceiverProcess, count, wait_until
from fix_proxy import LossyProxy
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from godot_otel import queue
from godot_otel_collector.receiver.signals import TRACES

PATH = "/v1/traces"
STOCK = """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("shop.views")
for number in range(300):
    with tracer.start_as_current_span("GET /cart", attributes={"n": number}) as root:
        try:
            with tracer.start_as_current_span("SELECT"):
                if number % 100 == 0:
                    raise ValueError(f"row {number}")
        except ValueError:
            pass
provider.shutdown()
"""


@pytest.fixture
def receiver(tmp_path, redis_url):
    process = ReceiverProcess(tmp_path, redis_url)
    yield process
    assert process.stop() == 0


@pytest.fixture
def client(receiver):
    client = Client(receiver.port)
    yield client
    client.close()


def payloads(url: str) -> list[ExportTraceServiceRequest]:
    with redis.Redis.from_url(url) as stored:
        entries = [fields for _, fields in stored.xrange(queue.stream_key())]
    assert {entry[b"signal"] for entry in entries} <= {b"traces"}
    return [ExportTraceServiceRequest.FromString(one[b"payload"]) for one in entries]


def names(url: str) -> list[str]:
    return [one.name for p in payloads(url) for _, _, one in TRACES.each(p)]


def as_json(message: ExportTraceServiceRequest) -> bytes:
    """OTLP's JSON has ids in hex."""
    tree = json_format.MessageToDict(message)
    for sent, shown in zip(
        (one for _, _, one in TRACES.each(message)),
        tree["resourceSpans"][0]["scopeSpans"][0]["spans"],
        strict=True,
    ):
        shown["traceId"], shown["spanId"] = sent.trace_id.hex(), sent.span_id.hex()
        for link, seen in zip(sent.links, shown.get("links", ()), strict=True):
            seen["traceId"], seen["spanId"] = link.trace_id.hex(), link.span_id.hex()
    return json.dumps(tree).encode()


def test_the_stock_exporter_delivers_once_though_an_answer_is_lost(
    receiver, tmp_path, redis_url, store_dsn
):
    proxy = LossyProxy(("127.0.0.1", receiver.port))
    proxy.spoil(b"POST /v1/traces")
    done = subprocess.run(
        [sys.executable, "-c", STOCK],
        env=os.environ
        | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{proxy.port}",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_SERVICE_NAME": "stock",
        },
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip # one process
    proxy.close()
    assert (done.returncode, done.stderr) == (0, "")
    assert proxy.spoiled == 1
    collector = CollectorProcess(tmp_path, redis_url, store_dsn)
    wait_until(lambda: count(store_dsn, "spans") >= 600, "all spans")
    assert collector.stop() == 0
    with psycopg.connect(store_dsn) as connection:
        found = connection.execute(
            "SELECT service, name, kind, count(*), count(DISTINCT span_id),"
            " count(parent_id), count(*) FILTER (WHERE status = 'ERROR')"
            " FROM span_lines GROUP BY 1, 2, 3 ORDER BY 2"
        ).fetchall()
        lines = connection.execute("SELECT body FROM logs ORDER BY seq").fetchall()
        kept = connection.execute("SELECT sum(spans)::int FROM trace_index").fetchall()
    assert found == [
        ("stock", "GET /cart", "INTERNAL", 300, 300, 0, 0),
        ("stock", "SELECT", "INTERNAL", 300, 300, 300, 3),
    ]
    assert lines == [(f"ValueError: row {n}",) for n in (0, 100, 200)]
    assert kept == [(600,)]


def test_both_encodings_bring_the_same_span(client, redis_url):
    made = raised(span("GET /", status=2, message="no"), "E", "m")
    made.links.add(trace_id=b"o" * 16, span_id=b"l" * 8)
    message = request([made])
    first = client.send(message.SerializeToString(), path=PATH, packed=True)
    second = client.send(as_json(message), JSON, path=PATH)
    assert (first.status, first.body, second.body) == (200, b"", b"{}")
    one, other = payloads(redis_url)
    assert one == other == message


def test_bad_spans_are_counted_and_their_neighbours_taken(client, redis_url):
    bad = [span("no trace", trace_id=b""), span("odd", trace_id=b"short")]
    no_id = span("no id")
    no_id.span_id = bytes(8)
    data = request([span("before"), *bad, no_id, span("after")])
    answer = client.send(data.SerializeToString(), path=PATH)
    partial = ExportTraceServiceResponse.FromString(answer.body).partial_success
    assert partial.rejected_spans == 3
    assert "records not taken: 3 malformed" in partial.error_message
    good = {"traceId": TRACE.hex(), "spanId": "00f067aa0ba902b7", "name": "json"}
    spans = [good, {**good, "traceId": "zz"}, {**good, "links": 7}, None, {}]
    tree = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    answer = client.send(json.dumps(tree).encode(), JSON, path=PATH)
    said = json.loads(answer.body)["partialSuccess"]
    assert said["rejectedSpans"] == "4"
    assert names(redis_url) == ["before", "after", "json"]


def test_secrets_are_replaced_wherever_a_span_may_hold_them(client, redis_url):
    hidden = "s3cr3t-value"
    made = span(
        f"GET /?password={hidden}", status=2, message=f"token={hidden} refused",
        attributes={"http.request.header.authorization": hidden, "plan": "pro"},
    )  # fmt: skip # one span
    raised(made, "AuthError", f"api_key={hidden} is no key", f"password={hidden}")
    event = made.events.add(name=f"secret={hidden}")
    add(event.attributes, {"token": hidden})
    link = made.links.add(trace_id=b"o" * 16, span_id=b"l" * 8)
    add(link.attributes, {"cookie": hidden})
    message = request([made])
    add(message.resource_spans[0].resource.attributes, {"db.password": hidden})
    add(message.resource_spans[0].scope_spans[0].scope.attributes, {"secret": hidden})
    assert client.send(message.SerializeToString(), path=PATH).status == 200
    (kept,) = payloads(redis_url)
    assert hidden not in str(kept)
    (found,) = (one for _, _, one in TRACES.each(kept))
    assert found.attributes[1].value.string_value == "pro"
    assert str(kept).count("[REDACTED]") == 10
