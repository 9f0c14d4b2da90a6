"""What came in by OTLP comes out as OTLP, whole."""

import sys
import time

from fix_otlp import entry
from fix_processes import CollectorProcess, count, wait_until
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from godot_otel import queue
from godot_otel.query import Records
from godot_otel_collector.receiver import parsing
from godot_otel_collector.receiver.answers import Encoding
from godot_otel_collector.receiver.signals import LOGS, TRACES

TRACE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
SECOND = 1_000_000_000


def everything() -> ExportLogsServiceRequest:
    """One trace, with all that OTLP has a place for."""
    now = time.time_ns()
    message = ExportLogsServiceRequest()
    for place in range(2):
        group = message.resource_logs.add(schema_url=f"https://example.org/r{place}")
        group.resource.dropped_attributes_count = place * 3
        pairs(
            group.resource.attributes, {"service.name": f"s{place}", "odd": [1, b"x"]}
        )
        for level in range(2):
            scope = group.scope_logs.add(schema_url="https://example.org/s" * level)
            scope.scope.name, scope.scope.version = f"lib{level}", "1.2" * level
            scope.scope.dropped_attributes_count = level
            pairs(scope.scope.attributes, {"scope.key": True} if level else {})
            for number, body in enumerate(BODIES):
                record = scope.log_records.add(
                    time_unix_nano=now - place * SECOND + number * 1001,
                    severity_number=(number * 5) % 25,
                    severity_text=("", "INFO", "warning", "Spaß")[number % 4],
                    trace_id=TRACE,
                    dropped_attributes_count=number % 3,
                    flags=number % 2,
                )
                if number % 2:
                    record.observed_time_unix_nano = now + number
                    record.span_id = bytes([1, 2, 3, 4, 5, 6, 7, number])
                    record.event_name = f"event.{number}"
                if body is not None:
                    fill(record.body, body)
                pairs(record.attributes, {f"a{number}": body, **ATTRIBUTES})
    late = message.resource_logs[0].scope_logs[0].log_records.add()
    late.time_unix_nano, late.trace_id = now - 30 * 86_400 * SECOND + 7, TRACE
    late.severity_number, late.body.string_value = 9, "thirty days late"
    return message


def all_spans() -> ExportTraceServiceRequest:
    """The spans of that trace, with all that OTLP has a place for."""
    now = time.time_ns()
    message = ExportTraceServiceRequest()
    for place in range(2):
        group = message.resource_spans.add(schema_url=f"https://example.org/r{place}")
        group.resource.dropped_attributes_count = place * 3
        pairs(
            group.resource.attributes, {"service.name": f"s{place}", "odd": [1, b"x"]}
        )
        for level in range(2):
            scope = group.scope_spans.add(schema_url="https://example.org/s" * level)
            scope.scope.name, scope.scope.version = f"lib{level}", "1.2" * level
            for number, value in enumerate(BODIES):
                start = now - place * SECOND + number * 1001
                made = scope.spans.add(
                    trace_id=TRACE,
                    span_id=bytes([place, level, 1, 1, 1, 1, 1, number]),
                    name=f"operation {number}" if number else "",
                    start_time_unix_nano=start, end_time_unix_nano=start + number * 999,
                    kind=number % 6, flags=(0, 1, 0x301, 0x80000100)[number % 4],
                    dropped_attributes_count=number % 3,
                    dropped_events_count=number % 2, dropped_links_count=number % 5,
                )  # fmt: skip # one span
                if number % 2:
                    made.parent_span_id = bytes([place, level, 1, 1, 1, 1, 1, 0])
                    made.trace_state = f"vendor={number}"
                    if number % 3:  # an empty status is as good as none
                        made.status.code = number % 3
                        made.status.message = "no" * (number % 3 - 1)
                pairs(made.attributes, {f"a{number}": value, **ATTRIBUTES})
                if number % 3 == 0:
                    parts(made, start, {f"e{number}": value, **ATTRIBUTES})
    odd = message.resource_spans[0].scope_spans[0].spans.add(
        trace_id=TRACE, span_id=b"late one", parent_span_id=b"odd", kind=17,
        start_time_unix_nano=now - 30 * 86_400 * SECOND + 7,
        end_time_unix_nano=now - 31 * 86_400 * SECOND,
    )  # fmt: skip # one span
    odd.status.code = 9
    return message


def parts(made, start: int, attributes: dict[str, object]) -> None:
    for name in ("exception", "exception", "other", ""):
        event = made.events.add(
            name=name, time_unix_nano=start + 3, dropped_attributes_count=len(name) % 4
        )
        said = {"exception.type": "E", "exception.message": "m"} if name else {}
        pairs(event.attributes, {**attributes, **said})
    link = made.links.add(
        trace_id=b"o" * 16, span_id=b"l" * 8, trace_state="a=b", flags=0x101
    )
    pairs(link.attributes, attributes)
    made.links.add(trace_id=b"odd", dropped_attributes_count=2)


BODIES = [
    "text", "", None, 7, -(2**63), 2**63 - 1, 1.5, 3.0, 1e300, float("inf"),
    float("-inf"), True, False, b"", b"\x00\xff", [], [1, [b"x", None]], {},
    {"$bytes": "no bytes", "$": 1, "$$double": {"a": 5e-324}}, "null", "{}",
    "\u2028 \x1b[2J e\u0301",
]  # fmt: skip # bodies
ATTRIBUTES = {"$odd": 1, "n": None, "s": "x" * 5000, "list": [True, {"k": 2.0}]}


def fill(value: AnyValue, content: object) -> None:
    if isinstance(content, bool):
        value.bool_value = content
    elif isinstance(content, int):
        value.int_value = content
    elif isinstance(content, float):
        value.double_value = content
    elif isinstance(content, str):
        value.string_value = content
    elif isinstance(content, bytes):
        value.bytes_value = content
    elif isinstance(content, list):
        value.array_value.SetInParent()
        for item in content:
            fill(value.array_value.values.add(), item)
    elif isinstance(content, dict):
        value.kvlist_value.SetInParent()
        pairs(value.kvlist_value.values, content)


def pairs(target, content: dict[str, object]) -> None:
    for key, item in content.items():
        pair = target.add(key=key)
        pair.value.SetInParent()
        fill(pair.value, item)


def canonical(message, signal) -> list[str]:
    """Each record with its scope and resource; attributes have no order."""
    found = []
    for group, scope, record in signal.each(message):
        one = signal.request()
        a = signal.groups(one).add(schema_url=group.schema_url)
        a.resource.CopyFrom(group.resource)
        b = signal.scopes(a).add(schema_url=scope.schema_url)
        b.scope.CopyFrom(scope.scope)
        c = signal.records(b).add()
        c.CopyFrom(record)
        holders = [a.resource, b.scope, c]
        if signal is TRACES:
            holders += [*c.events, *c.links]
        elif c.body.HasField("kvlist_value"):
            arrange(c.body.kvlist_value.values)
        for holder in holders:
            arrange(holder.attributes)
        found.append(str(one))
    return sorted(found)


def arrange(attributes) -> None:
    kept = sorted(attributes, key=lambda pair: pair.key)
    copies = [type(pair).FromString(pair.SerializeToString()) for pair in kept]
    del attributes[:]
    attributes.extend(copies)
    for pair in attributes:
        if pair.value.HasField("kvlist_value"):
            arrange(pair.value.kvlist_value.values)
        for item in pair.value.array_value.values:
            if item.HasField("kvlist_value"):
                arrange(item.kvlist_value.values)


async def test_what_was_sent_comes_out_whole_and_in_pieces(
    serve, store_dsn, redis_url, tmp_path, producer, monkeypatch
):
    logs, spans = everything(), all_spans()
    sent = canonical(logs, LOGS), canonical(spans, TRACES)
    for message, name, found in zip(
        (logs, spans), (b"logs", b"traces"), sent, strict=True
    ):
        producer.admit(
            queue.Entry(queue.batch_id(), name, len(found), message.SerializeToString())
        )
    producer.admit(entry(["of another trace"], trace_id=b"x" * 16))
    collector = CollectorProcess(tmp_path, redis_url, store_dsn)
    wait_until(lambda: count(store_dsn, "batches") == 3, "all are stored")
    assert collector.stop() == 0
    assert count(store_dsn, "spans") == len(sent[1])
    assert count(store_dsn) > len(sent[0]) + 1, "exceptions of spans, left out below"
    async with serve() as server, server.client() as client:
        assert await read(client, 1000) == (sent, 1)
        found, answers = await read(client, 7)
        assert found == sent
        assert answers > 20
        monkeypatch.setattr(sys.modules[Records.__module__], "MAX_CHARACTERS", 50_000)
        found, answers = await read(client, 1000)
        assert found == sent
        assert answers > 10


async def read(client, limit: int) -> tuple[tuple[list[str], list[str]], int]:
    """All records and spans, and how many answers they came in."""
    path = f"/api/traces/{TRACE.hex()[:12]}"
    found: tuple[list[str], list[str]] = ([], [])
    query, answers = f"?format=otlp&limit={limit}", 0
    while query:
        answer = await client.get(path + query)
        assert answer.status_code == 200
        assert list(answer.json()) == ["resourceLogs", "resourceSpans"]
        for records, signal in zip(found, (LOGS, TRACES), strict=True):
            parsed = parsing.parse(answer.content, Encoding.JSON, signal)
            assert parsed.rejected == 0
            records += canonical(parsed.request, signal)
        link = answer.headers.get("link", "")
        query = link.partition("<")[2].partition(">")[0]
        answers += 1
    return (sorted(found[0]), sorted(found[1])), answers
