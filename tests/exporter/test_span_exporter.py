"""Spans on their way to the queue: the same link, spool and counters as the logs'."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from itertools import count

import pytest
import redis
from opentelemetry._logs import LogRecord
from opentelemetry.context import get_value
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, Status, StatusCode

from godot_otel.errors import SettingError
from godot_otel.queue import Producer
from godot_otel_exporter.exporter import GodotLogRecordExporter
from godot_otel_exporter.processor import GodotLogRecordProcessor
from godot_otel_exporter.span_exporter import GodotSpanExporter
from godot_otel_exporter.span_processor import GodotSpanProcessor
from godot_otel_exporter.spool import batch_file

SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
RESOURCE = Resource({"service.name": "shop"})
ids = count(1)


def spans(*names: str, **attributes: str) -> list[ReadableSpan]:
    return [
        ReadableSpan(
            name, SpanContext(7, next(ids), is_remote=False), resource=RESOURCE,
            attributes=attributes, start_time=time.time_ns(), end_time=time.time_ns(),
        )
        for name in names
    ]  # fmt: skip # one shape


def records(*bodies: str) -> list[ReadableLogRecord]:
    return [ReadableLogRecord(LogRecord(body=body), RESOURCE) for body in bodies]


def names(server) -> list[str]:
    return [span.name for span in server.spans()]


def eventually(holds, seconds: float = 10) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it did not come true"
        time.sleep(0.01)


def waiting(exporter) -> list:
    entries = []
    for file in sorted(exporter._sender.spool.folder.glob("*.batch")):
        with contextlib.suppress(FileNotFoundError):  # sent meanwhile
            entries.append(batch_file.unpack(file.read_bytes()))
    return entries


@pytest.fixture
def made():
    """Exporters and processors that are shut down after the test."""
    kept: list = []

    def keep(one):
        kept.append(one)
        return one

    yield keep
    for one in kept:
        one.shutdown()


def test_logs_and_spans_share_connection_thread_and_counters(server, made):
    logs = made(GodotLogRecordExporter(endpoint=server.url))
    traces = made(GodotSpanExporter(endpoint=server.url))
    assert logs.export(records("a")).name == "SUCCESS"
    assert traces.export(spans("GET /", "SELECT")) is SUCCESS
    first, second = server.entries()
    assert (second[b"v"], second[b"signal"], second[b"records"]) == (
        b"1", b"traces", b"2",
    )  # fmt: skip # three fields
    before, after = (json.loads(entry[b"source"]) for entry in (first, second))
    assert before["instance"] == after["instance"]
    assert (before["emitted"], after["emitted"]) == (1, 3)
    assert after["service"] == "shop"
    with redis.Redis(port=server.port) as client:
        others = [one for one in client.client_list() if one["cmd"] != "client|list"]
    assert len(others) == 1
    links = [one for one in threading.enumerate() if one.name == "godot-otel-link"]
    assert len(links) == 1
    assert server.bodies() == ["a"]
    assert names(server) == ["GET /", "SELECT"]


def test_the_last_of_both_that_is_shut_down_ends_the_thread(server, made):
    logs = made(GodotLogRecordExporter(endpoint=server.url))
    traces = made(GodotSpanExporter(endpoint=server.url))
    logs.export(records("a"))
    traces.forward(spans("one"))
    traces.shutdown()
    assert names(server) == ["one"]
    assert logs._link._thread is not None
    logs.shutdown()
    assert logs._link._thread is None
    assert traces.export(spans("later")) is SUCCESS
    assert names(server) == ["one", "later"]


def test_other_destinations_and_a_second_of_a_kind_have_links_of_their_own(
    server, made, environment
):
    logs = made(GodotLogRecordExporter())
    assert made(GodotSpanExporter())._link is logs._link
    assert made(GodotSpanExporter())._link is not logs._link
    assert made(GodotLogRecordExporter(timeout=3))._link is not logs._link
    environment.setenv("OTEL_EXPORTER_GODOT_TRACES_ENDPOINT", server.url)
    environment.setenv("OTEL_EXPORTER_GODOT_TRACES_TIMEOUT", "700")
    environment.setenv("OTEL_EXPORTER_GODOT_TRACES_COMPRESSION", "gzip")
    traces = made(GodotSpanExporter())
    assert traces._sender.timeout == 0.7
    assert traces.export(spans("x" * 5000)) is SUCCESS
    assert server.entries()[0][b"encoding"] == b"gzip"
    assert names(server) == ["x" * 5000]
    assert server.url not in repr(traces._link.destination)


def test_arguments_are_those_of_the_logs_exporter():
    with pytest.raises(TypeError, match=r"takes endpoint, timeout, .* not stream"):
        GodotSpanExporter(stream="x")
    with pytest.raises(SettingError, match="zstd"):
        GodotSpanExporter(compression="zstd")
    with pytest.raises(SettingError, match="fallback"):
        GodotSpanExporter(fallback="paper")


def test_both_signals_wait_on_disk_while_the_queue_is_away_and_are_all_counted(
    mortal, made, said
):
    logs = made(GodotLogRecordExporter(endpoint=mortal.url))
    traces = made(GodotSpanExporter(endpoint=mortal.url))
    mortal.stop()
    for number in range(3):
        assert traces.export(spans(f"span {number}")) is SUCCESS
        logs.export(records(f"line {number}"))
        time.sleep(0.002)  # ids, and so the files' names, order by milliseconds
    kinds = [entry.signal for entry in waiting(traces)]
    assert kinds == [b"traces", b"logs"] * 3
    mortal.start()
    eventually(lambda: not waiting(traces))
    assert names(mortal) == [f"span {n}" for n in range(3)]
    assert mortal.bodies() == [f"line {n}" for n in range(3)]
    counters = traces._sender.counters
    assert (counters.emitted, counters.spooled) == (6, 6)
    assert not counters.dropped


def test_the_oldest_spans_are_lost_counted_and_printed_when_the_disk_is_full(
    made, said, capfd
):
    exporter = made(GodotSpanExporter(spool_max_bytes=20_000))
    for number in range(5):
        big = spans(str(number), text="x" * 6000, password="hunter2")
        assert exporter.export(big) is SUCCESS
    counters = exporter._sender.counters
    lost = counters.dropped["spool_full"]
    assert lost >= 2
    assert (counters.emitted, len(waiting(exporter)) + lost) == (5, 5)
    printed = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["name"] for line in printed] == [str(n) for n in range(lost)]
    assert printed[0]["attributes"]["password"] == "[REDACTED]"
    assert printed[0]["status"] == "UNSET"


def test_an_export_never_raises_and_makes_no_spans_of_its_own(
    server, made, monkeypatch, said
):
    seen = []
    admit = Producer.admit

    def look(self, entry):
        seen.append(get_value("suppress_instrumentation"))
        return admit(self, entry)

    monkeypatch.setattr(Producer, "admit", look)
    exporter = made(GodotSpanExporter(endpoint=server.url))
    exporter.export(spans("a"))
    exporter.forward(spans("b"))
    assert exporter.force_flush()
    assert seen == [True, True]
    monkeypatch.setattr("godot_otel_exporter.span_exporter.encode_spans", None)
    assert exporter.export(spans("c", "d")) is FAILURE
    counters = exporter._sender.counters
    assert (counters.emitted, dict(counters.dropped)) == (4, {"internal": 2})
    assert said == ["exporting failed: TypeError"]


@pytest.fixture
def tracer(server, made):
    """A tracer whose spans go through our processor."""

    def make(**arguments):
        provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
        exporter = GodotSpanExporter(endpoint=server.url, **arguments)
        provider.add_span_processor(made(GodotSpanProcessor(exporter)))
        return provider.get_tracer("shop.cart")

    return make


def test_a_span_is_in_the_queue_within_a_second(server, tracer):
    traced = tracer()
    for number in range(3):
        traced.start_span(f"span {number}").end()
        began = time.monotonic()
        eventually(lambda n=number: f"span {n}" in names(server), 1.0)
        print(f"in the queue after {time.monotonic() - began:.3f} s")


def test_a_span_that_failed_wakes_the_sender_and_a_storm_of_them_goes_together(
    server, tracer, environment
):
    environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    traced = tracer()
    traced.start_span("waits").end()
    time.sleep(0.3)
    assert names(server) == []
    for number in range(500):
        span = traced.start_span(f"failed {number}")
        span.set_status(Status(StatusCode.ERROR, "no"))
        span.end()
    eventually(lambda: len(names(server)) == 501, 1.0)
    assert names(server)[0] == "waits"
    assert len(server.entries()) < 50


def test_batch_and_queue_sizes_are_those_of_opentelemetrys_variables(
    server, tracer, environment, monkeypatch
):
    environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    environment.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    environment.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "40")
    traced = tracer()
    for number in range(9):
        traced.start_span(f"{number}").end()
    time.sleep(0.2)
    assert names(server) == []
    traced.start_span("9").end()
    eventually(lambda: len(names(server)) == 10, 1.0)
    (entry,) = server.entries()
    assert entry[b"records"] == b"10"


def test_beyond_its_bound_spans_are_refused_and_counted_and_nobody_waits_long(
    server, made, environment, monkeypatch
):
    environment.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "40")
    environment.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    go = threading.Event()
    forward = GodotSpanExporter.forward
    monkeypatch.setattr(
        GodotSpanExporter, "forward", lambda *a: go.wait(20) and forward(*a)
    )
    exporter = GodotSpanExporter(endpoint=server.url)
    processor = made(GodotSpanProcessor(exporter))
    began = time.monotonic()
    for one in spans(*map(str, range(500))):
        one._context = SpanContext(7, 7, is_remote=False, trace_flags=1)
        processor.on_end(one)
    assert time.monotonic() - began < 3
    go.set()
    assert processor.force_flush()
    counters = exporter._sender.counters
    arrived = len(names(server))
    assert counters.emitted == 500 == arrived + counters.dropped["queue_full"]
    assert 40 <= arrived < 100


def test_a_span_that_cannot_be_taken_is_counted_and_its_author_goes_on(
    server, tracer, made, monkeypatch, said
):
    exporter = GodotSpanExporter(endpoint=server.url)
    processor = made(GodotSpanProcessor(exporter))
    (odd,) = spans("odd")
    odd._context = SpanContext(7, 7, is_remote=False, trace_flags=1)
    odd._status = None
    processor.on_end(odd)
    unsampled = spans("not sampled")[0]
    processor.on_end(unsampled)
    assert processor.force_flush()
    counters = exporter._sender.counters
    assert (counters.emitted, dict(counters.dropped)) == (1, {"internal": 1})
    assert said == ["a span is lost: AttributeError"]
    assert names(server) == []


def test_what_waits_in_memory_is_bounded_in_characters_too(made, monkeypatch):
    monkeypatch.setattr("godot_otel_exporter.memory.MAX_CHARACTERS", 1_000_000)
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    go = threading.Event()
    monkeypatch.setattr(GodotSpanExporter, "forward", lambda *a: go.wait(20))
    processor = made(GodotSpanProcessor(GodotSpanExporter()))
    for one in spans(*map(str, range(100)), text="x" * 100_000):
        one._context = SpanContext(7, 7, is_remote=False, trace_flags=1)
        processor.on_end(one)
    assert len(processor._memory) <= 30
    assert processor._memory.refused >= 70
    go.set()
    eventually(lambda: not processor._memory)
    assert processor._memory._heavy == 0


def test_a_forked_child_sends_its_spans_as_an_instance_of_its_own(server, made):
    logs = made(GodotLogRecordProcessor(GodotLogRecordExporter(endpoint=server.url)))
    exporter = GodotSpanExporter(endpoint=server.url)
    processor = made(GodotSpanProcessor(exporter))
    assert logs._exporter._link is exporter._link

    def end(name: str) -> None:
        (one,) = spans(name)
        one._context = SpanContext(7, 7, is_remote=False, trace_flags=1)
        processor.on_end(one)
        assert processor.force_flush()

    end("parent")
    child = os.fork()
    if not child:
        signal.alarm(10)
        try:
            end("child")
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    end("parent again")
    entries = [entry for entry in server.entries() if entry[b"records"] != b"0"]
    found = {
        ExportTraceServiceRequest.FromString(entry[b"payload"])
        .resource_spans[0].scope_spans[0].spans[0].name: json.loads(entry[b"source"])
        for entry in entries
    }  # fmt: skip # a chain
    assert len(entries) == len(found) == 3
    assert found["parent"]["instance"] == found["parent again"]["instance"]
    assert found["child"]["instance"] != found["parent"]["instance"]
    assert [found[n]["emitted"] for n in ("parent", "child", "parent again")] == [
        1, 1, 2,
    ]  # fmt: skip # three counts
