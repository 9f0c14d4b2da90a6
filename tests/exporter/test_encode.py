from __future__ import annotations

import logging
from enum import IntEnum

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from godot_otel.queue import MAX_BATCH_BYTES
from godot_otel.redact import Redactor
from godot_otel_exporter.encode import encode
from godot_otel_exporter.values import ATTRIBUTE_MAX_BYTES, BODY_MAX_BYTES, MAX_DEPTH

RESOURCE = Resource({"service.name": "shop", "n": [1, 2]}, "https://schema/r")
SCOPE = InstrumentationScope("shop.cart", "1.2", "https://schema/s", {"kind": "x"})


class Colour(IntEnum):
    RED = 1


class Unprintable:
    def __str__(self) -> str:
        raise ValueError


def record(body=None, *, resource=RESOURCE, scope=SCOPE, **fields) -> ReadableLogRecord:
    fields = {
        "timestamp": 10, "observed_timestamp": 20, "severity_text": "INFO",
        "severity_number": SeverityNumber.INFO, "attributes": {}, **fields,
    }  # fmt: skip
    return ReadableLogRecord(LogRecord(body=body, **fields), resource, scope)


def bare(**fields) -> ReadableLogRecord:
    """A record whose fields nobody checked."""
    made = record("body")
    for name, value in fields.items():
        setattr(made.log_record, name, value)
    return made


def encoded(*records, redact=()):
    result = encode(list(records), Redactor(redact))
    requests = [ExportLogsServiceRequest.FromString(b.payload) for b in result.batches]
    return requests, +result.dropped


def one(given, redact=()):
    (request,), dropped = encoded(given, redact=redact)
    assert not dropped
    return request.resource_logs[0].scope_logs[0].log_records[0]


def attributes(log) -> dict:
    return {pair.key: pair.value for pair in log.attributes}


VALUES = {
    "text": "grüße", "empty": "", "true": True, "false": False, "int": -5, "zero": 0,
    "int64": 2**63 - 1, "float": 1.5, "infinity": float("inf"), "bytes": b"\x00\xff",
    "none": None, "list": ["a", 1, None], "empty list": [], "tuple": (1, 2),
    "mapping": {"a": {"b": [1, {"c": None}]}}, "empty mapping": {}, "nul": "a\x00b",
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_every_type_is_encoded_as_the_stock_exporter_does(name):
    log_encoder = pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.common._log_encoder"
    )
    value = VALUES[name]
    records = [
        record(value, attributes={"key": value}, event_name="e"),
        record(value, trace_id=2**127 + 1, span_id=7, trace_flags=3),
        record(resource=Resource({}), scope=None, attributes=None),
        record("again", resource=Resource({}), scope=InstrumentationScope("other")),
    ]
    records[-1] = ReadableLogRecord(
        records[-1].log_record, records[2].resource, records[-1].instrumentation_scope
    )
    (ours,), _ = encoded(*records)
    assert ours == log_encoder.encode_logs(records)


@pytest.mark.parametrize(
    ("field", "value", "becomes"),
    [
        ("timestamp", -1, ("time_unix_nano", 0)),
        ("timestamp", 2**64, ("time_unix_nano", 0)),
        ("timestamp", "now", ("time_unix_nano", 0)),
        ("observed_timestamp", -1, ("observed_time_unix_nano", 0)),
        ("event_name", 5, ("event_name", "5")),
        ("severity_text", "\ud800", ("severity_text", "?")),
        ("severity_text", object, ("severity_text", "<class 'object'>")),
        ("severity_number", 9, ("severity_number", 0)),
        ("trace_id", 2**128, ("trace_id", b"")),
        ("trace_id", -1, ("trace_id", b"")),
        ("span_id", 2**64, ("span_id", b"")),
        ("trace_flags", -1, ("flags", 0)),
    ],
)
def test_a_bad_field_costs_only_itself(field, value, becomes):
    log = one(bare(**{field: value}))
    assert getattr(log, becomes[0]) == becomes[1]
    assert log.body.string_value == "body"


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ("\ud800x", "?x"),
        (2**70, str(2**70)),
        (10**5000, hex(10**5000)[:ATTRIBUTE_MAX_BYTES]),
        (SCOPE.version.join, str(SCOPE.version.join)),
        (Unprintable(), "[unprintable Unprintable]"),
    ],
    ids=["surrogate", "70 bits", "5000 digits", "object", "unprintable"],
)
def test_odd_values_become_text(value, becomes):
    assert one(bare(attributes={"a": value, "b": 1})).attributes[0].value.string_value \
        .startswith(becomes[:40])  # fmt: skip
    assert one(bare(body=value)).body.string_value.startswith(becomes[:40])
    nested = one(bare(attributes={"a": [{"b": value}]})).attributes[0].value
    inner = nested.array_value.values[0].kvlist_value.values[0].value.string_value
    assert inner.startswith(becomes[:40])


def test_odd_keys_become_text():
    found = attributes(one(bare(attributes={5: 1, "\ud800": 2, b"x": {3: 4}})))
    assert set(found) == {"5", "?", "b'x'"}


def test_an_enumeration_is_its_number():
    assert one(record(Colour.RED)).body.int_value == 1


def test_a_list_that_holds_itself_is_cut_off():
    endless: list = [1]
    endless.append(endless)
    assert one(record(endless)).body.array_value.values[0].int_value == 1
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    value = one(bare(attributes={"deep": deep, "ok": 1})).attributes[0].value
    depth = 0
    while value.HasField("array_value"):
        value, depth = value.array_value.values[0], depth + 1
    assert (depth, value.string_value) == (MAX_DEPTH, "[too deep]")


def test_one_bad_record_costs_one_record():
    broken = ReadableLogRecord(None, RESOURCE, SCOPE)  # type: ignore[arg-type]
    (request,), dropped = encoded(record("a"), broken, record("b"))
    logs = request.resource_logs[0].scope_logs[0].log_records
    assert [log.body.string_value for log in logs] == ["a", "b"]
    assert dropped == {"unencodable": 1}


def test_a_bad_resource_or_scope_costs_no_record():
    resource = Resource({"service.name": "\ud800", "big": 2**70, "ok": True})
    scope = InstrumentationScope("\ud800", "\ud801")
    (request,), dropped = encoded(record("a", resource=resource, scope=scope))
    group = request.resource_logs[0]
    assert group.resource.attributes[0].value.string_value == "?"
    assert group.scope_logs[0].scope.name == "?"
    assert group.scope_logs[0].log_records[0].body.string_value == "a"
    assert not dropped


def test_records_are_grouped_by_resource_and_scope():
    def scope():
        return InstrumentationScope("made anew", attributes={"a": 1})

    other = Resource({"service.name": "other"})
    (request,), _ = encoded(
        record("a", scope=scope()), record("b", scope=scope()),
        record("c"), record("d", resource=other),
    )  # fmt: skip
    shape = [
        [[log.body.string_value for log in s.log_records] for s in r.scope_logs]
        for r in request.resource_logs
    ]
    assert shape == [[["a", "b"], ["c"]], [["d"]]]


def test_a_long_body_is_cut_between_characters_and_the_loss_is_said():
    text = "x" + "€" * 30_000
    log = one(record(text))
    kept = log.body.string_value
    assert text.startswith(kept)
    assert BODY_MAX_BYTES - 3 < len(kept.encode()) <= BODY_MAX_BYTES
    lost = attributes(log)["log.truncated_bytes"].int_value
    assert lost == len(text.encode()) - len(kept.encode())


@pytest.mark.parametrize(
    "body", [b"x" * 70_000, list(range(50_000)), {"a": ["y" * 9000] * 99}]
)
def test_a_long_body_of_any_type_is_cut(body):
    log = one(record(body))
    assert log.body.ByteSize() <= BODY_MAX_BYTES + 8
    assert attributes(log)["log.truncated_bytes"].int_value > 0


def test_a_body_at_the_cap_is_whole():
    log = one(record("x" * BODY_MAX_BYTES))
    assert len(log.body.string_value) == BODY_MAX_BYTES
    assert not log.attributes


@pytest.mark.parametrize(
    "value", ["€" * 9000, b"x" * 9000, ["y" * 99] * 999, {"k": "z" * 9999}]
)
def test_long_attributes_are_cut(value):
    log = one(record("a", attributes={"long": value}))
    assert attributes(log)["long"].ByteSize() <= ATTRIBUTE_MAX_BYTES + 16


def test_a_long_traceback_keeps_its_end():
    text = "Traceback\n" + "  line\n" * 5000 + "ValueError: this"
    log = one(record("a", attributes={"exception.stacktrace": text}))
    assert log.attributes[0].value.string_value.endswith("ValueError: this")
    assert len(log.attributes[0].value.string_value) <= ATTRIBUTE_MAX_BYTES


def test_large_batches_are_split_and_nothing_is_lost():
    records = [record("x" * 60_000, attributes={"n": n}) for n in range(200)]
    result = encode(records, Redactor())
    assert len(result.batches) > 2
    assert all(len(batch.payload) <= MAX_BATCH_BYTES for batch in result.batches)
    numbers = [
        log.attributes[0].value.int_value
        for batch in result.batches
        for r in ExportLogsServiceRequest.FromString(batch.payload).resource_logs
        for s in r.scope_logs
        for log in s.log_records
    ]
    assert numbers == list(range(200))
    assert sum(batch.records for batch in result.batches) == 200


def test_a_record_larger_than_a_batch_is_dropped_alone():
    huge = {f"key{n}": "x" * 8000 for n in range(600)}
    requests, dropped = encoded(record("a"), bare(attributes=huge), record("b"))
    assert dropped == {"too_large": 1}
    assert len(requests) == 2


def test_what_repeats_the_record_itself_is_left_out():
    doubled = {"otelTraceID": "0", "otelSpanID": "0", "otelTraceSampled": False,
               "otelServiceName": "x", "mine": 1}  # fmt: skip
    log = one(record("a", attributes=doubled, trace_id=0, span_id=0, trace_flags=0))
    assert set(attributes(log)) == {"mine"}
    assert (log.trace_id, log.span_id) == (b"", b"")


def test_werkzeug_lines_lose_their_colours_and_others_keep_theirs():
    line = "\x1b[31m\x1b[1mGET /x\x1b[0m 404"
    scope = InstrumentationScope("werkzeug")
    assert one(record(line, scope=scope)).body.string_value == "GET /x 404"
    assert one(record(line)).body.string_value == line


def test_dropped_attributes_are_counted():
    from opentelemetry.attributes import BoundedAttributes

    bounded = BoundedAttributes(1, {"a": 1, "b": 2}, immutable=False)
    assert one(bare(attributes=bounded)).dropped_attributes_count == 1


def test_secrets_are_replaced_at_any_depth():
    given = {
        "password": "hunter2", "Set-Cookie": "c", "apiKey": 5,
        "db": {"Client_Secret": "s"},
        "rows": [[{"accessToken": "t"}]],
        "headers": [("Authorization", "Bearer x"), ("a", "b")],
        "http.request.header.x-api-key": ["k"], "card": "4111", "token_count": 3,
        "raw": [[b"cookie", b"hunter2"]],
    }  # fmt: skip
    resource = Resource({"db.password": "hunter2"})
    scope = InstrumentationScope("scope", attributes={"token": "hunter2"})
    made = record({"pwd": "hunter2"}, attributes=given, resource=resource, scope=scope)
    (request,), _ = encoded(made, redact=["CARD"])
    text = str(request)
    for secret in (
        "hunter2",
        "Bearer x",
        '"s"',
        '"t"',
        '"k"',
        '"c"',
        "4111",
        "int_value: 5",
    ):
        assert secret not in text
    assert text.count("[REDACTED]") == 12
    assert "int_value: 3" in text


def test_records_of_the_logging_module_arrive_whole():
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import (
        InMemoryLogRecordExporter,
        SimpleLogRecordProcessor,
    )

    memory, provider = InMemoryLogRecordExporter(), LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    logger = logging.Logger("shop")
    logger.addHandler(LoggingHandler(logger_provider=provider))
    try:
        raise KeyError("cart")
    except KeyError:
        logger.exception("sold %d", 3, extra={"n": 1})
    found = attributes(one(memory.get_finished_logs()[0]))
    assert found["exception.type"].string_value == "KeyError"
    assert "raise KeyError" in found["exception.stacktrace"].string_value
