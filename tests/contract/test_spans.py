"""Each span becomes the same OTLP message, whichever language's exporter sent it.

To compare rows instead: collect the entries as ``test_records`` does, and put what
``spans`` is to hold beside ``message`` in the cases.
"""

from __future__ import annotations

import base64
import importlib.util
import json
from collections.abc import Iterable
from typing import Any

import pytest
import redis
from fix_contract import EMIT, cases, expanded
from fix_node import node_in
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from godot_otel import queue

CASES = cases("spans")
RESOURCE = Resource({"service.name": "contract"})


def emit_by_python(url: str) -> None:
    if importlib.util.find_spec("godot_otel_exporter.span_exporter") is None:
        pytest.skip("this version has no exporter of spans for Python")
    from godot_otel_exporter.span_exporter import GodotSpanExporter

    exporter = GodotSpanExporter(endpoint=url)
    exporter.export([span_of(case["name"], expanded(case["span"])) for case in CASES])
    exporter.shutdown()


def span_of(name: str, span: dict[str, Any]) -> ReadableSpan:
    parent, status = span.get("parent"), span.get("status", {})
    return ReadableSpan(
        name=span["name"],
        context=context(span, trace_state=span.get("trace_state", "")),
        parent=context(span | parent, remote=parent["remote"]) if parent else None,
        resource=RESOURCE,
        attributes=span.get("attributes", {}),
        events=[
            Event(one["name"], one["attributes"], nanoseconds(one["at"]))
            for one in span.get("events", [])
        ],
        links=[Link(context(one), one["attributes"]) for one in span.get("links", [])],
        kind=SpanKind[span["kind"]],
        status=Status(StatusCode[status.get("code", "UNSET")], status.get("message")),
        start_time=nanoseconds(span["start"]),
        end_time=nanoseconds(span["end"]),
        instrumentation_scope=InstrumentationScope(name),
    )


def context(
    ids: dict[str, Any], *, remote: bool = False, trace_state: str = ""
) -> SpanContext:
    return SpanContext(
        int(ids["trace_id"], 16), int(ids["span_id"], 16), remote,
        TraceFlags(TraceFlags.SAMPLED), TraceState.from_header([trace_state]),
    )  # fmt: skip # ids, then the rest


def nanoseconds(time: dict[str, int]) -> int:
    return time["seconds"] * 10**9 + time["nanoseconds"]


@pytest.fixture(scope="module", params=["python", "node"])
def messages(request, valkey, tmp_path_factory) -> dict[str, Span]:
    """What one language's exporter sent of each case."""
    url = f"{valkey.url.rpartition('/')[0]}/14"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        if request.param == "python":
            emit_by_python(url)
        else:
            asked = {"url": url, "cases": CASES}
            node = node_in(tmp_path_factory.mktemp("node"))
            done = node.run(EMIT, "spans", stdin=json.dumps(asked))
            assert (done.returncode, done.stderr) == (0, "")
        ((_, entry),) = client.xrange(queue.stream_key())
        client.flushdb()
    assert (entry[b"signal"], int(entry[b"records"])) == (b"traces", len(CASES))
    (group,) = ExportTraceServiceRequest.FromString(entry[b"payload"]).resource_spans
    assert plain(group.resource.attributes)["service.name"] == "contract"
    return {scope.scope.name: scope.spans[0] for scope in group.scope_spans}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_span_becomes_the_message_that_its_case_says(messages, case):
    span = messages[case["name"]]
    found = MessageToDict(span)
    found["status"] = MessageToDict(span.status)
    found["attributes"] = plain(span.attributes)
    # One SDK repeats the sampled flag where another leaves it to the ids.
    found["flags"] = span.flags & ~TraceFlags.SAMPLED
    for name, messages_ in (("events", span.events), ("links", span.links)):
        for one, message in zip(found.get(name, []), messages_, strict=True):
            one["attributes"] = plain(message.attributes)
            if name == "links":
                one["flags"] = message.flags & ~TraceFlags.SAMPLED
    hexed(found, "traceId", "spanId", "parentSpanId")
    for link in found.get("links", []):
        hexed(link, "traceId", "spanId")
    assert found == expanded(case["message"])


def plain(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
        for pair in pairs
    }


def hexed(message: dict[str, Any], *names: str) -> None:
    for name in names:
        if name in message:
            message[name] = base64.b64decode(message[name]).hex()
