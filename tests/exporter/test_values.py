from __future__ import annotations

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from godot_otel.redact import Redactor
from godot_otel_exporter.values import (
    ATTRIBUTE_MAX_BYTES,
    BODY_MAX_BYTES,
    fill_body,
    fill_pairs,
)

SECRETS = [
    "password=hunter2-hunter2-hunter2", "redis://:hunter2-hunter2@cache:6379",
    '{"token": "hunter2 hunter2 hunter2"}', "Cookie: a=hunter2; b=hunter2",
    "-----BEGIN PRIVATE KEY-----\nhunter2\nhunter2\n-----END PRIVATE KEY-----",
]  # fmt: skip


def attribute(name: str, value: object) -> str:
    record = LogRecord()
    fill_pairs(record.attributes, {name: value}, Redactor())
    return str(record.attributes[0].value)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("more", [0, 20_000, 200_000])
def test_no_cut_shows_a_part_of_a_secret(secret, more):
    for offset in range(-len(secret) - 2, 3):
        start = (
            "x" * (ATTRIBUTE_MAX_BYTES + offset) + "\n" + secret + "\n" + "y " * more
        )
        assert "hunter" not in attribute("long", start)
        assert "hunter" not in attribute("rows", [{"deep": start}])
        end = "y\n" * more + secret + "\n" + "x" * (ATTRIBUTE_MAX_BYTES + offset)
        assert "hunter" not in attribute("exception.stacktrace", end)


@pytest.mark.parametrize("secret", SECRETS)
def test_where_redacting_brings_far_text_close_nothing_is_half(secret):
    key = "-----BEGIN PRIVATE KEY-----" + "x" * 28_000 + "-----END PRIVATE KEY-----\n"
    for offset in range(-len(secret) - 2, 3):
        beyond = ATTRIBUTE_MAX_BYTES + 24 * 1024 - len(key) + offset
        text = key + "a " * (beyond // 2) + secret + "y" * 40_000
        assert "hunter" not in attribute("long", text)


def test_a_long_body_says_what_the_cap_cut_and_redacts_the_rest():
    body = AnyValue()
    lost = fill_body(body, "password=hunter2 " + "x" * 200_000, Redactor())
    assert body.string_value.startswith("password=[REDACTED] x")
    assert len(body.string_value) == BODY_MAX_BYTES
    assert lost == len("password=[REDACTED] ") + 200_000 - BODY_MAX_BYTES


def test_redacting_may_lengthen_a_text_but_not_beyond_the_cap():
    text = "jwt=€ " * 330
    assert len(attribute("short", text).encode()) <= ATTRIBUTE_MAX_BYTES + 20
    body = AnyValue()
    fill_body(body, "jwt=€ " * 12_000, Redactor())
    assert body.ByteSize() <= BODY_MAX_BYTES + 8


def test_values_behind_options_of_a_command_line_are_replaced():
    told = attribute("argv", ["run", "--api-key", "hunter2", "--port", "80"])
    assert "hunter2" not in told
    assert '"80"' in told
