"""Decoding: what came in by OTLP is stored whole, and a bad record costs itself."""

import gzip
import time

import psycopg
import pytest
from fix_otlp import entry, request
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from godot_otel import queue
from godot_otel_collector.decode import Decoder
from godot_otel_collector.entry import UnknownContractError
from godot_otel_collector.grouping import prepare
from godot_otel_collector.partitions import Partitions
from godot_otel_collector.preparation import check_ledger_range
from godot_otel_collector.templates import NEW_PER_HOUR, OTHER, Templates, mask

STREAM_ID = b"%d-0" % (time.time_ns() // 1_000_000)


def delivery(given: queue.Entry) -> queue.Delivered:
    fields = given.fields()
    return STREAM_ID, dict(zip(fields[::2], fields[1::2], strict=True))


def decode(given: queue.Entry):
    return Decoder(retention_days=7).decode(delivery(given))


def of(message: ExportLogsServiceRequest) -> queue.Entry:
    return queue.Entry(queue.batch_id(), b"logs", 1, message.SerializeToString())


async def stored(dsn: str, *given: queue.Entry) -> list[dict]:
    """Decode and store entries; return the rows of logs, in order."""
    import asyncio

    from godot_otel_collector.writer import Writer

    partitions = Partitions(dsn)
    await partitions.create_ahead()
    decoder = Decoder(retention_days=7)
    batches = [decoder.decode(delivery(g)) for g in given]
    writer = Writer(dsn, partitions=partitions, stopping=asyncio.Event())
    await writer.write(prepare(batches, partitions.logs))
    await writer.close()
    with psycopg.connect(dsn, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute("SELECT * FROM logs ORDER BY seq").fetchall()


async def test_every_kind_of_value_is_stored_whole(store_dsn):
    message = request(["plain"])
    scope = message.resource_logs[0].scope_logs[0]
    message.resource_logs[0].schema_url = "https://opentelemetry.io/schemas/1.44.0"
    scope.schema_url = "https://example.com/scope"
    scope.scope.version = "2.3"
    scope.scope.attributes.add(key="team").value.string_value = "cart"
    record = scope.log_records[0]
    record.body.Clear()
    items = record.body.kvlist_value.values
    items.add(key="n").value.int_value = 2**62
    items.add(key="half").value.double_value = 0.5
    items.add(key="nan").value.double_value = float("nan")
    items.add(key="huge").value.double_value = 1e300
    items.add(key="raw").value.bytes_value = b"\x00\xff"
    items.add(key="$odd").value.bool_value = True
    array = items.add(key="list").value.array_value.values
    array.add().string_value = "a"
    array.add().kvlist_value.values.add(key="deep").value.int_value = -1
    items.add(key="nothing")
    record.event_name = "cart.paid"
    record.dropped_attributes_count = 3
    record.severity_text = "Information"
    record.time_unix_nano += 123 - record.time_unix_nano % 1000
    (row,) = await stored(store_dsn, of(message))
    assert row["body_data"] == {
        "n": 2**62, "half": 0.5, "nan": {"$double": "nan"},
        "huge": {"$double": "1e+300"}, "raw": {"$bytes": "AP8="}, "$$odd": True,
        "list": ["a", {"deep": -1}], "nothing": None,
    }  # fmt: skip # one object
    assert row["event_name"] == "cart.paid"
    assert row["dropped_attributes"] == 3
    assert row["severity_text"] == "Information"
    assert row["time_nanos"] == 123
    with psycopg.connect(store_dsn) as connection:
        scopes = connection.execute(
            "SELECT version, attributes, schema_url FROM scopes"
        ).fetchall()
        urls = connection.execute("SELECT schema_url FROM resources").fetchall()
    assert scopes == [("2.3", {"team": "cart"}, "https://example.com/scope")]
    assert urls == [("https://opentelemetry.io/schemas/1.44.0",)]


async def test_a_body_that_is_a_number_is_text_and_number(store_dsn):
    message = request(["x"])
    message.resource_logs[0].scope_logs[0].log_records[0].body.double_value = 1.0
    (row,) = await stored(store_dsn, of(message))
    assert (row["body"], row["body_data"]) == ("1.0", 1.0)


async def test_nul_bytes_long_bodies_and_long_attributes_are_mended(store_dsn):
    message = request(
        ["a\0b", "é" * 40_000], attributes={"k\0": "v\0", "long": "x" * 9000}
    )
    first, second = await stored(store_dsn, of(message))
    assert first["body"] == "a\N{REPLACEMENT CHARACTER}b"
    assert first["attributes"]["k\N{REPLACEMENT CHARACTER}"].startswith("v")
    assert len(first["attributes"]["long"]) == 8192
    assert first["attributes"]["log.truncated_bytes"] == 9000 - 8192
    assert second["body"] == "é" * 32_768
    assert second["attributes"]["log.truncated_bytes"] == 80_000 - 65_536 + 808


async def test_a_long_stack_trace_keeps_its_end(store_dsn):
    long = "é" + "at frame\n" * 1000 + "CardDeclined: no money"
    [row] = await stored(
        store_dsn, entry(["failed"], attributes={"exception.stacktrace": long})
    )
    kept = row["attributes"]["exception.stacktrace"]
    assert kept == long[-8192:]
    assert row["attributes"]["log.truncated_bytes"] == len(long.encode()) - 8192


async def test_nul_in_every_name_costs_nothing(store_dsn):
    message = request(
        ["x"],
        service="s\0",
        logger="l\0",
        environment="e\0",
        attributes={"log.record.template": "t\0 %s", "exception.message": "m\0"},
    )
    record = message.resource_logs[0].scope_logs[0].log_records[0]
    record.severity_text, record.event_name = "\0", "e\0"
    (row,) = await stored(store_dsn, of(message))
    names = [row["service"], row["logger"], row["environment"], row["event_name"]]
    assert names == [f"{c}\N{REPLACEMENT CHARACTER}" for c in "slee"]


async def test_malformed_ids_move_to_attributes(store_dsn):
    record = LogRecord(time_unix_nano=time.time_ns(), trace_id=b"short", span_id=b"x")
    record.body.string_value = "odd"
    (row,) = await stored(store_dsn, entry([record]))
    assert row["trace_id"] is None
    assert row["span_id"] is None
    assert row["attributes"]["log.original_trace_id"] == b"short".hex()


async def test_a_trace_id_without_a_span_is_kept(store_dsn):
    record = LogRecord(time_unix_nano=time.time_ns(), trace_id=b"t" * 16, flags=1)
    (row,) = await stored(store_dsn, entry([record]))
    assert row["trace_id"].bytes == b"t" * 16
    assert (row["span_id"], row["trace_flags"]) == (None, 1)


async def test_a_span_id_of_zeros_is_none(store_dsn):
    now = time.time_ns()
    lines = [
        LogRecord(
            time_unix_nano=now, observed_time_unix_nano=observed,
            trace_id=b"t" * 16, span_id=bytes(8), flags=1,
        )
        for observed in (0, now)
    ]  # fmt: skip # one line of a log
    rows = await stored(store_dsn, entry(lines))
    assert [row["span_id"] for row in rows] == [None, None]
    assert [row["trace_flags"] for row in rows] == [1, 1]


async def test_flags_of_a_line_in_a_span_are_kept_whatever_else_it_has(store_dsn):
    lines = [
        LogRecord(
            time_unix_nano=time.time_ns(), observed_time_unix_nano=observed,
            trace_id=b"t" * 16, span_id=b"s" * 8, flags=flags,
        )
        for observed in (0, time.time_ns())
        for flags in (0, 1)
    ]  # fmt: skip # one line of a log
    rows = await stored(store_dsn, entry(lines))
    assert [row["trace_flags"] for row in rows] == [0, 1, 0, 1]


def test_broken_utf8_is_mended_where_it_is_text():
    good = request(["one", "two", "three"])
    payload = good.SerializeToString().replace(b"two", b"t\xffo")
    batch = decode(queue.Entry(queue.batch_id(), b"logs", 3, payload))
    assert batch.rows.texts == [
        b"one",
        "t\N{REPLACEMENT CHARACTER}o".encode(),
        b"three",
    ]
    assert batch.dead == []


def test_a_record_with_an_unreadable_attribute_leaves_the_others():
    good = request(["one", "two", "three"], attributes={"k": "vvv"})
    record = good.resource_logs[0].scope_logs[0].log_records[1]
    record.attributes[0].value.string_value = "bad"
    payload = good.SerializeToString().replace(b"bad", b"b\xffd")
    batch = decode(queue.Entry(queue.batch_id(), b"logs", 3, payload))
    assert batch.rows.texts == [b"one", b"three"]
    assert [letter.ordinal for letter in batch.dead] == [1]
    assert b"b\xffd" in batch.dead[0].payload
    assert b"one" not in batch.dead[0].payload


@pytest.mark.parametrize("where", ["resource", "scope"])
def test_a_resource_or_scope_that_is_unreadable_costs_its_own_records(where):
    bad = request(["one", "two"], service="bad" if where == "resource" else "shop",
                  logger="bad" if where == "scope" else "cart")  # fmt: skip
    payload = bad.SerializeToString().replace(b"bad", b"b\xffd")
    payload += request(["three"]).SerializeToString()
    batch = decode(queue.Entry(queue.batch_id(), b"logs", 3, payload))
    assert batch.rows.texts == [b"three"]
    assert batch.rows.ordinals == [2]
    (letter,) = batch.dead
    assert (letter.ordinal, letter.reason) == (0, "undecodable resource or scope")
    assert b"two" in letter.payload
    assert b"three" not in letter.payload


def test_fields_that_nobody_knows_are_no_records():
    payload = b"\xfa\x01\x03abc"  # field 31
    batch = decode(queue.Entry(queue.batch_id(), b"logs", 1, payload))
    assert [letter.reason for letter in batch.dead] == ["no records in the request"]


def test_bytes_that_are_no_protobuf_are_one_dead_letter():
    batch = decode(queue.Entry(queue.batch_id(), b"logs", 1, b"\xff\xff\xff garbage"))
    assert [(d.ordinal, d.reason) for d in batch.dead] == [(-1, "no OTLP request")]


def test_gzip_is_unpacked_up_to_the_cap():
    message = request(["packed"])
    packed = gzip.compress(message.SerializeToString())
    batch = decode(queue.Entry(queue.batch_id(), b"logs", 1, packed, encoding=b"gzip"))
    assert batch.rows.texts == [b"packed"]
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    batch = decode(queue.Entry(queue.batch_id(), b"logs", 1, bomb, encoding=b"gzip"))
    assert "more than 4 MiB" in batch.dead[0].reason


@pytest.mark.parametrize("field", ["signal", "encoding"])
def test_what_a_newer_contract_may_bring_is_left_to_a_newer_collector(field):
    stream_id, fields = delivery(entry(["x"]))
    with pytest.raises(UnknownContractError):
        Decoder(retention_days=7).decode(
            (stream_id, {**fields, field.encode(): b"new"})
        )


def test_a_foreign_entry_gets_the_same_id_each_time():
    decoder = Decoder(retention_days=7)
    first = decoder.decode((STREAM_ID, {b"what": b"is this"}))
    again = decoder.decode((STREAM_ID, {b"what": b"is this"}))
    assert first.id == again.id
    check_ledger_range(first)
    assert not first.outside


def test_lines_that_differ_in_what_varies_have_one_template():
    templates = Templates()
    lines = [
        f"user {n} got 0x{n:x} from 10.0.0.{n} as '{n}'".encode() for n in range(500)
    ]
    assert len({templates.find("s", "l", line)[0] for line in lines}) == 1


def test_what_is_known_of_lines_is_bounded_whatever_loggers_there_are():
    templates = Templates(cached=100)
    for number in range(2000):
        logger = f"logger {number % 7 if number < 1000 else number}"
        templates.find("s", logger, b"word " + b"x" * (number % 50))
        assert len(templates._of) <= 100
        assert sum(map(len, templates._of.values())) <= 100


def test_a_given_template_wins_over_masking():
    templates = Templates()
    given = "user %s paid %d"
    ids = {templates.find("s", "l", b"user %d x" % n, given) for n in range(9)}
    assert [template for _, template in ids] == [("l", given)]


def test_a_service_cannot_flood_the_templates():
    templates = Templates()
    words = [f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}".encode()
             for n in range(NEW_PER_HOUR + 100)]  # fmt: skip # words without digits
    ids = [templates.find("noisy", "l", word)[0] for word in words]
    assert ids.count(OTHER) == 100
    assert templates.find("quiet", "l", b"another line")[0] != OTHER


def test_mask_keeps_words_and_replaces_what_varies():
    line = "GET /u/7f3a9c21 for 3f2504e0-4f89-41d3-9a0c-0305e82c3301 took 12.5ms"
    assert mask(line) == "GET /u/<*> for <*> took <*>.<*>ms"
