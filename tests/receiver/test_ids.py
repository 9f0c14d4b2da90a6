"""Ids of batches are derived from what a client sent, and the ledger takes them."""

import time
import uuid

from fix_otlp import request

from godot_otel_collector.receiver.answers import Encoding
from godot_otel_collector.receiver.batches import batches
from godot_otel_collector.receiver.parsing import parse

DAY_MS = 86_400_000
NOW_MS = time.time_ns() // 1_000_000


def identity(*bodies: str, ms: int = NOW_MS, now_ms: int = NOW_MS) -> bytes:
    data = request(bodies, time_ns=ms * 1_000_000).SerializeToString()
    [entry] = batches(parse(data, Encoding.PROTOBUF), data, now_ms=now_ms).entries
    return entry.id


def milliseconds(batch_id: bytes) -> int:
    found = uuid.UUID(bytes=batch_id)
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    return found.int >> 80


def test_the_same_body_has_the_same_id_and_another_has_another():
    assert identity("a", "b") == identity("a", "b")
    assert len({identity("a"), identity("b"), identity("a", ms=NOW_MS - 1)}) == 3


def test_an_id_begins_with_the_time_of_the_first_record():
    for ms in (NOW_MS, NOW_MS - 28 * DAY_MS, NOW_MS + DAY_MS // 3):
        assert milliseconds(identity("a", ms=ms)) == ms


def test_a_time_that_the_ledger_would_not_take_becomes_the_days_beginning():
    for ms in (0, 1, NOW_MS - 30 * DAY_MS, NOW_MS + 2 * DAY_MS, 2**63 // 10**6):
        early, late = NOW_MS // DAY_MS * DAY_MS, NOW_MS // DAY_MS * DAY_MS + DAY_MS - 1
        ids = {identity("a", ms=ms, now_ms=now) for now in (early, late)}
        assert [milliseconds(one) for one in ids] == [early]
