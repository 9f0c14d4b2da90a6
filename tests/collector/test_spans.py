"""Spans: what came in by OTLP is stored, found and counted, each once."""

import time
import tracemalloc

import psycopg
import pytest
from fix_otlp import entry as logged
from fix_otlp_spans import TRACE, add, entry, of, raised, request, span
from fix_partitions import ago, collecting, lowers, run, until
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from godot_otel import durations, queue, store
from godot_otel_collector.closing import Closing
from godot_otel_collector.dead_letters import Chosen, letters
from godot_otel_collector.decode import Decoder
from godot_otel_collector.operations import NEW_PER_HOUR
from godot_otel_collector.retention import Retention
from godot_otel_exporter.wire import RESOURCE_SPANS, SCOPE_SPANS, SPANS, framed

STREAM_ID = b"%d-0" % (time.time_ns() // 1_000_000)
ERROR = 2


def decode(given: queue.Entry):
    fields = given.fields()
    pairs = dict(zip(fields[::2], fields[1::2], strict=True))
    return Decoder(retention_days=7).decode((STREAM_ID, pairs))


def count(dsn: str, table: str = "spans") -> int:
    return run(dsn, f"SELECT count(*) FROM {table}")[0][0]


def found(dsn: str, *, table: str = "spans") -> list[dict]:
    with psycopg.connect(dsn, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY seq").fetchall()


async def stored(redis_url, dsn, producer, *given: queue.Entry) -> list[dict]:
    """Bring entries into the store; return the rows of spans, in order."""
    for one in given:
        producer.admit(one)
    async with collecting(redis_url, dsn):
        await until(lambda: count(dsn, "batches") == len(given))
    return found(dsn)


async def test_a_span_is_stored_with_all_that_finds_it(redis_url, store_dsn, producer):
    root = span("GET /cart", attributes={"http.route": "/cart", "n": 7})
    child = span("SELECT", parent=root.span_id, kind=3, milliseconds=1.5,
                 status=ERROR, message="gone away")  # fmt: skip
    child.trace_state = "vendor=1"
    one, other = await stored(redis_url, store_dsn, producer, entry([root, child]))
    assert (one["name"], one["kind"], one["status"]) == ("GET /cart", 2, 0)
    assert one["trace_id"].bytes == TRACE
    assert (one["parent_id"], one["flags"]) == (None, 1)
    assert one["attributes"] == {"http.route": "/cart", "n": 7}
    assert [one[name] for name in ("events", "links", "dropped_links")] == [None] * 3
    assert (other["parent_id"], other["duration_ns"]) == (root.span_id, 1_500_000)
    assert (other["status"], other["status_message"]) == (ERROR, "gone away")
    assert other["trace_state"] == "vendor=1"
    assert run(store_dsn, "SELECT name, kind, status, duration_ms::float, scope"
                          " FROM span_lines ORDER BY seq") == [
        ("GET /cart", "SERVER", "", 5.0, "shop.views"),
        ("SELECT", "CLIENT", "ERROR", 1.5, "shop.views"),
    ]  # fmt: skip # what people see
    assert run(store_dsn, "SELECT lines, errors, spans, span_errors FROM trace_index"
                          ) == [(0, 0, 2, 1)]  # fmt: skip
    assert run(store_dsn, "SELECT signal, records FROM batches") == [("traces", 2)]
    assert run(store_dsn, "SELECT seq_last - seq_first FROM span_filters") == [(1,)]
    first, last = run(store_dsn, "SELECT first, last FROM trace_index")[0]
    ends = max(s.end_time_unix_nano for s in (root, child)) / 1e9
    assert (first, round(last.timestamp(), 4)) == (one["time"], round(ends, 4))


async def test_operations_are_counted_by_minute_and_duration(
    redis_url, store_dsn, producer
):
    now = time.time_ns()
    spans = [
        span("work", milliseconds=n, time_ns=now, status=ERROR * (n % 10 == 0))
        for n in range(1, 1001)
    ]
    spans += [span("idle", milliseconds=0, kind=1) for _ in range(3)]
    await stored(redis_url, store_dsn, producer, entry(spans))
    rows = run(store_dsn, "SELECT kind, sum(n)::int, sum(errors)::int,"
                          " sum(duration_ns)::bigint FROM operation_counts"
                          " GROUP BY kind ORDER BY kind DESC")  # fmt: skip
    assert rows == [(2, 1000, 100, 500_500 * 10**6), (1, 3, 0, 0)]
    counts = dict(run(store_dsn, "SELECT bucket, n FROM operation_counts"
                                 " WHERE name = 'work'"))  # fmt: skip
    for share in (0.5, 0.95, 0.99):
        assert durations.percentile(counts, share) == pytest.approx(
            share * 1e9, rel=0.05
        )
    assert run(store_dsn, "SELECT bucket, n FROM operation_counts"
                          " WHERE name = 'idle'") == [(durations.EMPTY, 3)]  # fmt: skip


async def test_an_exception_is_found_like_an_error_line(redis_url, store_dsn, producer):
    failed = raised(span("POST /pay", status=ERROR), "CardError", "card 4711 declined")
    raised(failed, "CardError", "card 4711 declined")  # logged, and raised again
    raised(failed, "KeyError", "'total'")
    (row,) = await stored(redis_url, store_dsn, producer, entry([failed]))
    assert [event["name"] for event in row["events"]] == ["exception"] * 3
    assert row["events"][0]["time"] == failed.events[0].time_unix_nano
    assert row["events"][0]["attributes"]["exception.escaped"] == "False"
    lines = found(store_dsn, table="logs")
    assert [line["body"] for line in lines] == [
        "CardError: card 4711 declined", "KeyError: 'total'",
    ]  # fmt: skip # one a line
    line = lines[0]
    assert (line["severity"], line["event_name"]) == (17, "exception")
    assert line["attributes"] == {
        "exception.type": "CardError", "exception.message": "card 4711 declined",
        "exception.stacktrace": "Traceback ...", "godot.span_event": True,
    }  # fmt: skip # one object
    assert (line["trace_id"].bytes, line["span_id"]) == (TRACE, failed.span_id)
    assert (line["service"], line["logger"]) == ("shop", "shop.views")
    assert run(store_dsn, "SELECT template FROM log_lines ORDER BY seq") == [
        ("CardError: card <*> declined",), ("KeyError: <*>",),
    ]  # fmt: skip # one a row
    assert lines[-1]["seq"] < row["seq"], "one transaction, one sequence"
    assert row["seq"] >> 20 == line["seq"] >> 20
    index = "SELECT sum(lines)::int, sum(errors)::int, sum(spans)::int FROM trace_index"
    assert run(store_dsn, index) == [(2, 2, 1)]
    assert run(store_dsn, "SELECT records FROM batches") == [(1,)], "it was one span"


async def test_what_does_not_fit_a_column_is_kept_beside_it(
    redis_url, store_dsn, producer
):
    now = time.time_ns()
    odd = span(time_ns=now, kind=17, status=9, parent=b"short")
    odd.end_time_unix_nano = now - 5
    odd.flags, odd.dropped_events_count = 0xFFFFFFFF, 4
    late = span(time_ns=now - 30 * 86_400 * 10**9)
    no_start = span(time_ns=now)
    no_start.start_time_unix_nano = 0
    rows = await stored(redis_url, store_dsn, producer, entry([odd, late, no_start]))
    kept = [row["attributes"] for row in rows]
    assert kept == [
        {
            "span.original_kind": 17, "span.original_status": 9,
            "span.original_end_time": now - 5,
            "span.original_parent_id": b"short".hex(),
        },
        {"span.original_time": late.start_time_unix_nano},
        {
            "span.original_end_time": no_start.end_time_unix_nano,
            "span.original_time": 0,
        },
    ]  # fmt: skip # an object a row
    assert [row["duration_ns"] for row in rows] == [0, 5_000_000, 0]
    assert (rows[0]["flags"], rows[0]["dropped_events"]) == (-1, 4)
    assert all(abs(row["time"].timestamp() - now / 1e9) < 60 for row in rows)


async def test_nul_and_long_texts_are_mended_anywhere(redis_url, store_dsn, producer):
    odd = raised(span("na\0me", message="me\0ss", status=2), "T\0", "m\0" + "x" * 9000)
    odd.trace_state, odd.events[0].name = "s\0", "exception"
    odd.events.add(name="e\0")
    link = odd.links.add(trace_id=b"t" * 16, span_id=b"s" * 8, trace_state="l\0")
    add(link.attributes, {"k\0": "v\0"})
    long = span("é" * 1000)
    mended, cut = await stored(redis_url, store_dsn, producer, entry([odd, long]))
    texts = [mended[n] for n in ("name", "status_message", "trace_state")]
    assert texts == ["na\ufffdme", "me\ufffdss", "s\ufffd"]
    assert mended["events"][1] == {"name": "e\ufffd"}
    assert mended["links"][0]["attributes"] == {"k\ufffd": "v\ufffd"}
    assert mended["attributes"] == {"span.truncated_bytes": 9002 - 8192}
    assert cut["name"] == "é" * 512
    assert cut["attributes"] == {"span.truncated_bytes": 2000 - 1024}
    (line,) = found(store_dsn, table="logs")
    assert line["body"].startswith("T\ufffd: m\ufffdx")


@pytest.mark.parametrize("field", ["trace_id", "span_id"])
@pytest.mark.parametrize("value", [b"", b"short", bytes(8), bytes(16)])
def test_a_span_without_ids_costs_itself(field, value):
    bad = span("bad")
    setattr(bad, field, value)
    if (field, len(value)) in (("trace_id", 8), ("span_id", 16)):
        value += b"x"
    batch = decode(entry([span("one"), bad, span("two")]))
    assert batch.spans.texts == [b"one", b"two"]
    (letter,) = batch.dead
    assert letter.ordinal == 1
    assert letter.reason == "a span without a valid trace id and span id"
    assert request([bad]).SerializeToString() == letter.payload


def test_a_span_with_an_unreadable_part_costs_itself():
    whole = raised(span("whole"), "Bad", "bad")
    unreadable = raised(span("attribute", attributes={"k": "vvv"}), "T", "m")
    payload = request([whole, unreadable]).SerializeToString()
    broken = payload.replace(b"vvv", b"v\xffv")
    batch = decode(queue.Entry(queue.batch_id(), b"traces", 2, broken))
    assert batch.spans.texts == [b"whole\nexception\nBad\nbad"]
    assert len(batch.rows) == 1, "no exception of a span that is not stored"
    assert [letter.reason for letter in batch.dead] == ["undecodable: DecodeError"]


def test_a_span_whose_event_is_no_message_costs_itself_and_keeps_its_bytes():
    broken = span("broken").SerializeToString() + b"\x5a\x03\x09\xff\xff"  # an event
    spans = [span("one").SerializeToString(), broken, span("two").SerializeToString()]
    scope = b"".join(framed(SPANS, one) for one in spans)
    payload = framed(RESOURCE_SPANS, framed(SCOPE_SPANS, scope))
    batch = decode(queue.Entry(queue.batch_id(), b"traces", 3, payload))
    assert batch.spans.texts == [b"one", b"two"]
    assert batch.spans.ordinals == [0, 2]
    (letter,) = batch.dead
    assert (letter.ordinal, letter.reason) == (1, "undecodable: DecodeError")
    assert broken in letter.payload


def test_bytes_that_are_no_protobuf_are_one_dead_letter():
    batch = decode(queue.Entry(queue.batch_id(), b"traces", 1, b"\xff\xff garbage"))
    assert [(d.ordinal, d.reason) for d in batch.dead] == [(-1, "no OTLP request")]


def test_what_the_decoder_keeps_of_spans_is_bounded_in_bytes():
    decoder = Decoder(retention_days=7)
    tracemalloc.start()
    try:
        for number in range(100):
            long = f"{number} " + "x" * 100_000
            given = entry([span(long, status=ERROR, message=long)]).fields()
            pairs = dict(zip(given[::2], given[1::2], strict=True))
            assert decoder.decode((STREAM_ID, pairs)).spans.ordinals == [0]
            del given, pairs
        assert tracemalloc.get_traced_memory()[0] < 5_000_000
    finally:
        tracemalloc.stop()


def test_names_with_ids_in_them_are_counted_as_one():
    spans = [span(f"GET /{n}") for n in range(NEW_PER_HOUR + 50)]
    batch = decode(entry(spans))
    assert len(set(batch.spans.operations)) == NEW_PER_HOUR + 1
    assert sum(b"(other)" in one for one in batch.spans.operations) == 50
    assert len(set(batch.spans.texts)) == len(spans), "each keeps its own name"


async def test_a_span_that_postgres_refuses_costs_itself_and_its_exceptions(
    redis_url, store_dsn, producer
):
    run(store_dsn, "ALTER TABLE spans ADD CONSTRAINT sound CHECK (name <> 'poison')")
    run(store_dsn, "ALTER TABLE logs ADD CONSTRAINT sound CHECK (body !~ '^Poison')")
    spans = [raised(span(f"span {n}"), "Plain", f"of {n}") for n in range(40)]
    spans[3] = raised(span("poison"), "Plain", "of 3")
    spans[30] = raised(span("span 30"), "Poison", "of 30")
    line = logged(["a line beside them"])
    rows = await stored(redis_url, store_dsn, producer, line, entry(spans))
    assert len(rows) == 38
    assert count(store_dsn, "logs") == 38 + 1
    letters = run(store_dsn, "SELECT ordinal, signal, reason FROM dead_letters"
                             " ORDER BY ordinal")  # fmt: skip
    refusal = "refused by the store: 23514"
    assert letters == [(3, "traces", refusal), (30, "traces", refusal)]
    index = "SELECT sum(spans)::int, sum(lines)::int FROM trace_index"
    assert run(store_dsn, index) == [(38, 38)]
    assert run(store_dsn, "SELECT sum(n)::int FROM operation_counts") == [(38,)]


async def test_signals_share_a_transaction_and_a_batch_is_stored_once(
    redis_url, store_dsn, producer
):
    spans, lines = entry([span(), span()]), logged(["a", "b", "c"], trace_id=TRACE)
    for one in (spans, lines, spans, lines):
        producer.admit(one)
    async with collecting(redis_url, store_dsn) as collector:
        await until(lambda: count(store_dsn, "batches") == 2)
        producer.admit(spans)
        producer.admit(entry([span()]))
        await until(lambda: count(store_dsn) == 3)
    assert collector.stored_records == 6
    seqs = run(store_dsn, "SELECT seq FROM logs UNION ALL SELECT seq FROM spans")
    assert len(set(seqs)) == len(seqs) == 6
    found = run(store_dsn, "SELECT sum(lines)::int, sum(spans)::int FROM trace_index")
    assert found == [(3, 3)]


async def test_every_event_and_link_is_stored_whole(redis_url, store_dsn, producer):
    made = span("consume", kind=Span.SPAN_KIND_CONSUMER)
    event = made.events.add(name="retry", time_unix_nano=made.start_time_unix_nano + 7)
    event.dropped_attributes_count = 2
    add(event.attributes, {"attempt": 3})
    link = made.links.add(trace_id=b"t" * 16, span_id=b"s" * 8, flags=0x301)
    link.trace_state, link.dropped_attributes_count = "a=b", 1
    made.links.add(trace_id=b"odd")
    (row,) = await stored(redis_url, store_dsn, producer, of(request([made]), 1))
    assert row["events"] == [
        {"time": event.time_unix_nano, "name": "retry", "attributes": {"attempt": 3},
         "dropped": 2}
    ]  # fmt: skip # one object
    assert row["links"] == [
        {"trace_id": (b"t" * 16).hex(), "span_id": (b"s" * 8).hex(), "flags": 0x301,
         "trace_state": "a=b", "dropped": 1},
        {"trace_id": b"odd".hex(), "span_id": ""},
    ]  # fmt: skip # one object
    assert count(store_dsn, "logs") == 0


async def test_closing_merges_counts_of_operations_and_keeps_every_sum(
    redis_url, store_dsn, producer, owner
):
    at = time.time_ns() // 3_600_000_000_000 * 3_600_000_000_000 - 5 * 3600 * 10**9
    batches = [
        entry([span(f"work {n % 2}", time_ns=at + n % 3 * 10**9,
                    milliseconds=10 ** (n % 4), status=ERROR * (n % 5 == 0))])
        for n in range(30)
    ]  # fmt: skip # one a batch
    for batch in batches:
        producer.admit(batch)
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn, "batches") == len(batches))
    sums = sums_of(store_dsn)
    await Closing().run(owner)
    assert sums_of(store_dsn) == sums
    assert count(store_dsn, "operation_counts") == 2 * 2, "names and buckets of each"
    assert run(store_dsn, "SELECT spans, span_errors FROM trace_index") == [(30, 6)]
    left_open = (
        "SELECT count(*) FROM partitions WHERE closed_at IS NULL"
        " AND upper < now() - interval '5 minutes'"
    )
    assert run(store_dsn, left_open) == [(0,)]


def sums_of(dsn: str) -> list[tuple]:
    return run(
        dsn,
        "SELECT minute, service, name, kind, bucket, sum(n), sum(errors),"
        " sum(duration_ns) FROM operation_counts GROUP BY 1, 2, 3, 4, 5"
        " ORDER BY 1, 2, 3, 4, 5",
    )


async def test_retention_drops_spans_with_the_lines_of_their_time(
    redis_url, store_dsn, producer, source, owner
):
    old = time.time_ns() - 5 * 86_400 * 10**9
    producer.admit(entry([span("old", time_ns=old)]))
    producer.admit(entry([span("new")]))
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn) == 2)
    run(store_dsn, "UPDATE settings SET retention_days = 2")
    await Retention(source).run(owner)
    assert run(store_dsn, "SELECT name FROM spans") == [("new",)]
    for table in ("spans", "span_filters", "operation_counts", "logs"):
        assert min(lowers(store_dsn, table)) > ago(days=3), table
    assert count(store_dsn, "operation_counts") == count(store_dsn, "span_filters") == 1


async def test_a_dead_letter_of_a_span_shows_the_span(redis_url, store_dsn, producer):
    bad = raised(span("no trace", trace_id=b"", message="odd"), "E", "m")
    producer.admit(entry([bad], service="shop"))
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn, "dead_letters") == 1)
    async with await store.connect(store_dsn) as connection:
        (letter,) = [one async for one in letters(connection, Chosen())]
    (shown,) = letter.records()
    assert (letter.sendable, letter.service, shown["name"]) == (
        True,
        "shop",
        "no trace",
    )
    assert shown["status_message"] == "odd"
    assert shown["events"][0]["attributes"]["exception.type"] == "E"
    assert (shown["trace_id"], shown["undecodable"]) == (None, [])
