"""What is encoded by hand is what the protobuf library reads."""

from __future__ import annotations

import logging
import random

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource

from godot_otel.redact import Redactor
from godot_otel_exporter import wire
from godot_otel_exporter.capture import capture
from godot_otel_exporter.direct import Direct
from godot_otel_exporter.encode import encode

EDGES = (0, 1, 125, 126, 127, 128, 129, 2047, 2048, 2049, 16_383, 16_384, 70_000)


def read(*parts: bytes) -> LogRecord:
    return LogRecord.FromString(b"".join(parts))


@pytest.mark.parametrize(
    "number", [0, 1, 127, 128, 16_383, 16_384, 2**63 - 1, -1, -(2**63)]
)
def test_whole_numbers(number):
    (pair,) = read(
        wire.attribute(wire.RECORD_ATTRIBUTES, wire.key("n"), wire.int_value(number))
    ).attributes
    assert (pair.key, pair.value.int_value) == ("n", number)


@pytest.mark.parametrize("length", EDGES)
def test_texts_of_every_length_that_changes_the_form(length):
    text = "é" * (length // 2) + "x" * (length % 2)
    record = read(
        wire.framed(wire.BODY, wire.text_value(text.encode())),
        wire.attribute(
            wire.RECORD_ATTRIBUTES,
            wire.key("k" * length),
            wire.text_value(text.encode()),
        ),
    )
    assert record.body.string_value == text
    (pair,) = record.attributes
    assert (pair.key, pair.value.string_value) == ("k" * length, text)


def test_the_rest_of_a_record():
    record = read(
        wire.times(1_795_000_000_123_456_789), wire.ids(2**127 + 5, 2**63 + 7, 3),
        wire.framed(wire.EVENT_NAME, b"paid"),
        wire.attribute(wire.RECORD_ATTRIBUTES, wire.key("d"), wire.double_value(-1.5)),
        wire.attribute(wire.RECORD_ATTRIBUTES, wire.key("t"), wire.bool_value(True)),
        wire.attribute(wire.RECORD_ATTRIBUTES, wire.key("f"), wire.bool_value(False)),
    )  # fmt: skip # a field each
    assert record.time_unix_nano == 1_795_000_000_123_456_789
    assert record.observed_time_unix_nano == record.time_unix_nano
    assert int.from_bytes(record.trace_id, "big") == 2**127 + 5
    assert int.from_bytes(record.span_id, "big") == 2**63 + 7
    assert (record.flags, record.event_name) == (3, "paid")
    kinds = [pair.value.WhichOneof("value") for pair in record.attributes]
    assert kinds == ["double_value", "bool_value", "bool_value"]
    assert [pair.value.bool_value for pair in record.attributes[1:]] == [True, False]


def test_random_records_arrive_as_they_were():
    rng = random.Random(5)
    logger = logging.getLogger("wire")
    direct = Direct(LoggerProvider(Resource({"service.name": "x"})), Redactor())
    for number in range(500):
        body = "".join(rng.choices("aé😀 \n%", k=rng.choice(EDGES[:10])))
        extra = {
            "x" * rng.choice(EDGES[1:9]): rng.choice(
                [rng.randrange(-(2**63), 2**63), rng.random(), True, None, "y" * 3000,
                 "z" * rng.choice(EDGES[:9]), b"bytes", [1, "a"], {"k": 1.5}]
            )
            for _ in range(rng.randrange(6))
        }  # fmt: skip # any kind of value
        record = logger.makeRecord(
            f"wire.{number % 7}", 20, "file.py", number % 40, body, (), None,
            extra=extra,
        )  # fmt: skip # in the order of its parameters
        record.created = 1_795_000_000 + number
        direct_record = capture(record)
        (batch,) = encode([direct_record], Redactor(), direct).batches
        request = ExportLogsServiceRequest.FromString(batch.payload)
        (scope,) = request.resource_logs[0].scope_logs
        (found,) = scope.log_records
        assert scope.scope.name == record.name
        assert found.body.string_value == body
        assert {pair.key for pair in found.attributes} >= set(extra)
        assert found.time_unix_nano == record.created * 10**9
