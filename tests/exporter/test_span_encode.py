"""Spans into OTLP: as the stock encoder has it, within the caps, without secrets."""

from __future__ import annotations

import random
from operator import attrgetter
from types import SimpleNamespace

import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import (
    encode_spans as stock,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from godot_otel.queue import MAX_BATCH_BYTES
from godot_otel.redact import Redactor
from godot_otel_exporter._compat import lighten
from godot_otel_exporter.encode import encode_spans
from godot_otel_exporter.span_encoder import SpanEncoder
from godot_otel_exporter.values import ATTRIBUTE_MAX_BYTES

RESOURCE = Resource({"service.name": "shop", "n": [1, 2]}, "https://schema/r")
STATE = TraceState([("vendor", "a:1"), ("other", "b")])
REMOTE = SpanContext(2**127 + 1, 7, is_remote=True, trace_flags=TraceFlags(1))
VALUES = {
    "text": "grüße", "empty": "", "true": True, "false": False, "int": -5, "zero": 0,
    "int64": 2**63 - 1, "float": 1.5, "infinity": float("inf"), "bytes": b"\x00\xff",
    "texts": ["a", "b"], "ints": (1, 2), "mixed": ["a", 1, None, [2.5]], "none": None,
    "empty list": [], "mapping": {"a": {"b": [1, {"c": None}]}}, "nul": "a\x00b",
}  # fmt: skip # many a line


class Made:
    """A provider, and the spans that ended under it."""

    def __init__(self, **limits: int) -> None:
        self.memory = InMemorySpanExporter()
        self.provider = TracerProvider(
            resource=RESOURCE, span_limits=SpanLimits(**limits), shutdown_on_exit=False
        )
        self.provider.add_span_processor(SimpleSpanProcessor(self.memory))
        self.tracer = self.provider.get_tracer("shop.cart", "1.2", "https://schema/s")

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.memory.get_finished_spans())


def plain(made: Made) -> None:
    made.tracer.start_span("plain").end()


def kinds(made: Made) -> None:
    for kind in SpanKind:
        made.tracer.start_span(kind.name, kind=kind).end()


def attributes(made: Made) -> None:
    made.tracer.start_span("all", attributes=VALUES).end()
    for name, value in VALUES.items():
        made.tracer.start_span(name, attributes={"key": value}).end()


def parents(made: Made) -> None:
    with made.tracer.start_as_current_span("parent"):
        made.tracer.start_span("child").end()
    remote = set_span_in_context(NonRecordingSpan(REMOTE))
    made.tracer.start_span("of a caller", context=remote).end()
    state = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(3),
                        trace_state=STATE)  # fmt: skip # one context
    made.tracer.start_span(
        "with state", context=set_span_in_context(NonRecordingSpan(state))
    ).end()


def statuses(made: Made) -> None:
    for status in (
        Status(StatusCode.OK), Status(StatusCode.ERROR), Status(StatusCode.UNSET),
        Status(StatusCode.ERROR, "it failed"), Status(StatusCode.ERROR, ""),
    ):  # fmt: skip # a list
        span = made.tracer.start_span("status")
        span.set_status(status)
        span.end()


def events(made: Made) -> None:
    span = made.tracer.start_span("events")
    span.add_event("paid", VALUES, timestamp=17)
    span.add_event("bare")
    try:
        raise KeyError("cart")
    except KeyError as error:
        span.record_exception(error, {"retry": 1})
    span.end()


def links(made: Made) -> None:
    local = SpanContext(9, 8, is_remote=False, trace_flags=TraceFlags(0))
    made.tracer.start_span(
        "links", links=[Link(REMOTE, {"queue": "orders"}), Link(local)]
    ).end()


def scopes(made: Made) -> None:
    for arguments in (("other",), ("with", "1"), ("with attributes", None, None)):
        made.provider.get_tracer(*arguments).start_span("a").end()
    made.provider.get_tracer("more", attributes={"kind": "x"}).start_span("b").end()
    made.tracer.start_span("c").end()
    made.provider.get_tracer("other").start_span("d").end()


def dropped(made: Made) -> None:
    span = made.tracer.start_span(
        "much", attributes={"a": 1, "b": 2, "c": 3},
        links=[Link(REMOTE, {"a": 1, "b": 2}), Link(REMOTE), Link(REMOTE)],
    )  # fmt: skip # one span
    for number in range(4):
        span.add_event(f"e{number}", {"a": 1, "b": 2, "c": 3})
    span.end()


CASES = [plain, kinds, attributes, parents, statuses, events, links, scopes]


@pytest.mark.parametrize("case", [*CASES, dropped])
def test_every_kind_of_span_is_encoded_as_the_stock_exporter_does(case):
    few = {"max_attributes": 1, "max_events": 2, "max_links": 1}
    made = Made(**few if case is dropped else {})
    case(made)
    encoded = encode_spans(made.spans, SpanEncoder(Redactor()))
    (batch,) = encoded.batches
    assert batch.records == len(made.spans) > 0
    assert not +encoded.dropped
    expected = stock(made.spans)
    assert ExportTraceServiceRequest.FromString(batch.payload) == expected
    if case is dropped:
        (span,) = expected.resource_spans[0].scope_spans[0].spans
        assert (span.dropped_attributes_count, span.dropped_events_count) == (2, 2)
        assert span.dropped_links_count == 2


def ended(**fields) -> ReadableSpan:
    """A span whose fields nobody checked."""
    span = ReadableSpan(
        "name", SpanContext(1, 2, is_remote=False), resource=RESOURCE,
        instrumentation_scope=InstrumentationScope("scope"), start_time=10, end_time=20,
    )  # fmt: skip # one span
    for name, value in fields.items():
        setattr(span, f"_{name}", value)
    return span


def encoded(*spans: ReadableSpan):
    found = encode_spans(spans, SpanEncoder(Redactor()))
    requests = [ExportTraceServiceRequest.FromString(b.payload) for b in found.batches]
    return [
        span
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ], +found.dropped


@pytest.mark.parametrize(
    ("field", "value", "becomes"),
    [
        ("name", 5, ("name", "5")), ("name", "\ud800x", ("name", "?x")),
        ("name", None, ("name", "")), ("start_time", None, ("start_time_unix_nano", 0)),
        ("end_time", -1, ("end_time_unix_nano", 0)), ("kind", "server", ("kind", 0)),
        ("end_time", 2**64, ("end_time_unix_nano", 0)), ("kind", [], ("kind", 0)),
        ("parent", SpanContext(1, 2**64, True), ("parent_span_id", b"\0" * 8)),
        ("attributes", {"a": object, 5: "\ud800"}, ("kind", 1)),
        ("status", None, ("name", "name")), ("events", [5], ("name", "name")),
    ],
)  # fmt: skip # a table
def test_a_bad_field_costs_only_itself(field, value, becomes):
    (span,), dropped = encoded(ended(**{field: value}))
    assert not dropped
    assert getattr(span, becomes[0]) == becomes[1]
    assert span.trace_id == b"\0" * 15 + b"\1"


def test_one_bad_span_costs_one_span_and_a_bad_event_itself():
    bad = Event("bad", {"a": "\ud800"}, timestamp=2**70)
    worse = SimpleNamespace(name="worse")
    spans, dropped = encoded(
        ended(), ended(context=None), ended(events=[bad, worse, Event("good")])
    )
    assert dropped == {"unencodable": 1}
    assert [event.name for event in spans[1].events] == ["bad", "good"]
    assert spans[1].events[0].time_unix_nano == 0


def test_names_and_values_are_cut_and_a_stacktrace_keeps_its_end():
    trace = "Traceback\n" + "  line\n" * 5000 + "ValueError: this"
    (span,), _ = encoded(
        ended(
            name="n" * 20_000,
            attributes={"long": "x" * 20_000},
            status=Status(StatusCode.ERROR, "m" * 20_000),
            events=[Event("e" * 9000, {"exception.stacktrace": trace})],
            links=[Link(REMOTE, {"long": "ü" * 9000})],
        )
    )
    for text in (span.name, span.attributes[0].value.string_value,
                 span.status.message, span.events[0].name,
                 span.links[0].attributes[0].value.string_value,
                 span.events[0].attributes[0].value.string_value):  # fmt: skip # texts
        assert ATTRIBUTE_MAX_BYTES - 9 <= len(text.encode()) <= ATTRIBUTE_MAX_BYTES
    kept = span.events[0].attributes[0].value.string_value
    assert kept.endswith("ValueError: this")


def test_large_batches_are_split_and_a_span_larger_than_a_batch_is_dropped_alone():
    many = {f"key{n}": "x" * 8000 for n in range(60)}
    spans = [ended(name=str(n), attributes=many) for n in range(20)]
    huge = ended(attributes={f"key{n}": "x" * 8000 for n in range(600)})
    found = encode_spans([*spans, huge], SpanEncoder(Redactor()))
    assert len(found.batches) > 2
    assert all(len(batch.payload) <= MAX_BATCH_BYTES for batch in found.batches)
    kept, dropped = encoded(*spans, huge)
    assert [span.name for span in kept] == [str(n) for n in range(20)]
    assert dropped == {"too_large": 1}


def test_secrets_are_replaced_wherever_a_span_has_them():
    secret = {"password": "hunter2", "http.request.header.cookie": ("hunter2",)}
    url = "https://bob:hunter2@host/pay?api_key=hunter2&cart=7"
    scope = InstrumentationScope("s", attributes={"token": "hunter2"})
    span = ended(
        name="GET /login?token=hunter2",
        attributes=BoundedAttributes(
            attributes={**secret, "http.url": url, "url.full": url,
                        "db.statement": "SELECT 1 -- password=hunter2"}
        ),
        status=Status(StatusCode.ERROR, "ValueError: Authorization: Bearer hunter2"),
        events=[
            Event("login secret=hunter2", secret),
            Event("exception", {
                "exception.message": "no access with token=hunter2",
                "exception.stacktrace": f"  connect({url!r})\nE: password='hunter2'",
            }),
        ],
        links=[Link(REMOTE, secret)],
        resource=Resource({"db.password": "hunter2"}),
        instrumentation_scope=scope,
    )  # fmt: skip # one span
    found = encode_spans([span], SpanEncoder(Redactor()))
    payload = found.batches[0].payload
    assert b"hunter2" not in payload
    assert payload.count(b"[REDACTED]") >= 17
    assert b"cart=7" in payload
    mine = encode_spans(
        [ended(attributes={"card": "4111"})], SpanEncoder(Redactor(["card"]))
    )
    assert b"4111" not in mine.batches[0].payload


def test_random_spans_are_encoded_by_hand_as_in_place(monkeypatch):
    rng = random.Random(5)
    made = Made(max_events=2, max_event_attributes=3, max_link_attributes=1)
    state = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(3),
                        trace_state=STATE)  # fmt: skip # one context
    edges = (0, 1, 126, 127, 128, 129, 2047, 2048, 2049, 16_384)
    for number in range(300):
        values = {
            "x" * rng.choice(edges[1:8]): rng.choice(
                [rng.randrange(-(2**63), 2**63), rng.random(), True, b"bytes",
                 "z" * rng.choice(edges), [1, "a"], {"k": 1.5}]
            )
            for _ in range(rng.randrange(6))
        }  # fmt: skip # any kind of value
        span = made.tracer.start_span(
            "é" * rng.choice(edges), attributes=values,
            context=set_span_in_context(NonRecordingSpan(rng.choice([REMOTE, state]))),
            links=[Link(rng.choice([REMOTE, state]), values)] * (number % 4),
        )  # fmt: skip # one span
        for _ in range(number % 5):
            span.add_event("ö" * rng.choice(edges), values, number)
        if number % 3:
            span.set_status(StatusCode.ERROR, "m" * rng.choice(edges))
        span.end()
    by_hand, _ = encoded(*made.spans)
    monkeypatch.setattr(SpanEncoder, "_span", None)
    in_place, _ = encoded(*made.spans)
    assert by_hand == in_place
    assert len(by_hand) == 300


@pytest.mark.parametrize("case", [*CASES, dropped])
def test_a_span_that_waits_lightened_is_the_same_to_everybody(case):
    few = {"max_attributes": 1, "max_events": 2, "max_links": 1}
    made = Made(**few if case is dropped else {})
    case(made)
    seen = attrgetter("events", "links", "dropped_events", "dropped_links")
    before = stock(made.spans), [seen(span) for span in made.spans]
    for span in made.spans:
        lighten(span)
    assert (stock(made.spans), [seen(span) for span in made.spans]) == before
    (batch,) = encode_spans(made.spans, SpanEncoder(Redactor())).batches
    assert ExportTraceServiceRequest.FromString(batch.payload) == before[0]
