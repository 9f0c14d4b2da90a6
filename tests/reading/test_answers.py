"""Answers say their window, why they are empty, and how fresh they are."""

import asyncio
import socket
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fix_lines import Row
from fix_otlp import entry

from godot_otel import query, queue, store
from godot_otel.errors import GodotError, SchemaError, StoreUnreachableError

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TWIN = "4bf92f35aaaaaaaaaaaaaaaaaaaaaaaa"


def ago(**distance: float) -> datetime:
    return datetime.now(UTC) - timedelta(**distance)


async def bodies(reader, **given) -> list[str]:
    page = await query.logs(reader, query.parse(**given), limit=1000)
    return [one.body for one in page.lines]


async def test_a_line_as_json_has_the_fixed_shape(lines, reader):
    when = ago(minutes=3, seconds=2).replace(microsecond=123456)
    lines.add(
        Row("hello", when, nanos=789, severity=13, trace_id=TRACE,
            span_id="00f067aa0ba902b7", attributes={"k": [1, {"a": None}]}),
        Row("bare", when - timedelta(minutes=1)),
    )  # fmt: skip # two rows
    page = await query.logs(reader, query.parse())
    first, second = (one.as_json() for one in page.lines)
    seq = first.pop("seq")
    assert abs(second.pop("seq") - seq) == 1  # hours are written in their order
    assert first == {
        "time": f"{when:%Y-%m-%dT%H:%M:%S}.123456789Z", "service": "orders",
        "environment": "prod", "level": "WARN", "severity": 13,
        "logger": "shop.orders", "body": "hello", "trace_id": TRACE,
        "span_id": "00f067aa0ba902b7", "attributes": {"k": [1, {"a": None}]},
        "age": "3m",
    }  # fmt: skip # the fixed shape
    assert (second["trace_id"], second["span_id"], second["attributes"]) == (
        None, None, {},
    )  # fmt: skip # three values


async def test_a_trace_is_found_from_edge_to_edge_of_daily_partitions(lines, reader):
    lines.width = timedelta(days=1)
    midnight = ago(days=1).replace(hour=0, minute=0, second=0, microsecond=0)
    last = midnight - timedelta(microseconds=1)
    for trace_id, times in {
        "1" * 32: [midnight],
        "2" * 32: [last],
        "3" * 32: [midnight - timedelta(days=1), last, midnight, midnight],
    }.items():
        lines.add(*(Row("line", time, trace_id=trace_id) for time in times))
        found = await query.trace(reader, query.parse(trace_id=trace_id))
        assert [one.time for one in found.page.lines] == times


async def test_each_filter_leaves_only_its_lines(lines, reader):
    lines.add(
        Row("a", service="orders", environment="prod", severity=9),
        Row("b", service="orders-eu", environment="prod", severity=13),
        Row("c", service="payments", environment="test", severity=17, version="2.0"),
        Row("d", service="payments", logger="other", severity=21),
        Row("old", ago(hours=2)),
    )
    assert sorted(await bodies(reader)) == ["a", "b", "c", "d"]
    assert sorted(await bodies(reader, component="orders*")) == ["a", "b"]
    assert await bodies(reader, component="orders") == ["a"]
    assert await bodies(reader, logger="other") == ["d"]
    assert await bodies(reader, environment="test") == ["c"]
    assert await bodies(reader, version="2.0") == ["c"]
    assert sorted(await bodies(reader, level="error")) == ["c", "d"]
    assert await bodies(reader, since="-3h", until="-1h") == ["old"]


async def test_a_trace_is_found_without_a_window_by_id_and_by_prefix(lines, reader):
    lines.add(
        Row("first", ago(days=3), trace_id=TRACE, service="api"),
        Row("last", ago(days=1), trace_id=TRACE, severity=17),
        Row("other", trace_id="5" * 32),
    )
    for text in (TRACE, TRACE[:8], f"00-{TRACE}-00f067aa0ba902b7-01"):
        assert await bodies(reader, trace_id=text) == ["last", "first"]
    assert await bodies(reader, trace_id=TRACE, search="first") == ["first"]
    found = await query.trace(reader, query.parse(trace_id=TRACE[:10]))
    assert (found.trace.lines, found.trace.errors) == (2, 1)
    assert found.trace.components == ["api", "orders"]
    assert found.first_error.body == "last"
    assert [one.body for one in found.page.lines] == ["first", "last"]


async def test_an_ambiguous_prefix_lists_its_candidates(lines, reader):
    lines.add(Row("a", trace_id=TRACE), Row("b", trace_id=TWIN))
    with pytest.raises(query.FilterError, match=f"several: {TRACE}, {TWIN}"):
        await bodies(reader, trace_id="4bf92f35")


async def test_a_cursor_belongs_to_its_filters_and_order(lines, reader):
    lines.add(*(Row(f"{n}") for n in range(5)))
    page = await query.logs(reader, query.parse(), limit=2)
    other = query.parse(level="WARN")
    with pytest.raises(query.FilterError, match="other filters"):
        await query.logs(reader, other, cursor=page.next_cursor)
    with pytest.raises(query.FilterError, match="other filters"):
        await query.logs(reader, query.parse(), order="oldest", cursor=page.next_cursor)
    for garbage in ("x", "AAAA", "!!", page.next_cursor[:-4], "W10"):
        with pytest.raises(query.FilterError, match="cursor"):
            await query.logs(reader, query.parse(), cursor=garbage)


async def test_an_empty_answer_names_its_cause(lines, reader):
    assert (await query.logs(reader, query.parse())).notes == [
        "the store holds no lines yet"
    ]
    lines.add(Row("a"), Row("b", trace_id=TRACE))

    async def note(**given) -> str:
        return "; ".join((await query.logs(reader, query.parse(**given))).notes)

    assert "no such component: 'ordes', did you mean 'orders'?" in await note(
        component="ordes"
    )
    assert "all below this level" in await note(level="ERROR")
    assert "filtered away: the window has 2 lines" in await note(search="nothing")
    assert "expired: the store keeps 7 days" in await note(since="-30d", until="-20d")
    unknown = "f" * 32
    assert f"nothing of trace {unknown} fits: never stored" in await note(
        trace_id=unknown
    )
    lines.add(Row("old", ago(hours=5)))
    assert "no lines in this window" in await note(since="-4h", until="-3h")
    assert "holds nothing from before" in await note(since="-3d", until="-2d")
    assert "expired" in await note(trace_id="9" * 32)


async def test_what_waits_in_the_queue_is_said(lines, store_dsn, redis_url):
    lines.add(Row("a"))
    producer = queue.Producer(redis_url)
    producer.admit(entry(["x"] * 7))
    producer.close()
    async with query.Reader(store_dsn, redis_url) as reader:
        page = await query.logs(reader, query.parse(search="nothing"))
    assert page.ingest.queue_depth == 7
    assert page.notes[0].startswith("not arrived yet: 7 records wait")


async def test_drops_are_summed_by_reason(lines, store_dsn, reader):
    lines.add(Row("a"))
    with psycopg.connect(store_dsn) as connection:
        for dropped in ('{"full": 3}', '{"full": 4, "size": 1, "odd": "x"}', "[]"):
            connection.execute(
                "INSERT INTO emitters (instance, service, counters) VALUES"
                " (gen_random_uuid(), 's', jsonb_build_object('dropped', %s::jsonb))",
                [dropped],
            )
    page = await query.logs(reader, query.parse())
    assert page.ingest.dropped_by_reason == {"full": 7, "size": 1}


async def test_stats_come_from_the_rollups(lines, reader, store_dsn):
    lines.add(
        *(Row("x", severity=s, service=f"s{n}") for n in range(60) for s in (9, 17)),
        Row("x", service="busy"), Row("y", service="busy"), Row("z", service="busy"),
        Row("odd", severity=0, service="busy"),
    )  # fmt: skip # 124 rows
    with psycopg.connect(store_dsn) as connection:
        connection.execute("TRUNCATE logs")  # never read
    counted = await query.stats(reader, query.parse())
    assert counted.levels == {"INFO": 63, "ERROR": 60, "UNKNOWN": 1}
    assert counted.groups[0].name == "busy"
    assert (len(counted.groups), counted.omitted) == (50, 11)
    assert counted.storage.partitions == 1
    assert counted.storage.bytes > 0
    assert counted.storage.retention_days == 7
    with pytest.raises(query.FilterError, match="trace_id: counts are not kept"):
        await query.stats(reader, query.parse(trace_id=TRACE))


async def test_traces_are_paged_by_their_newest_line(lines, reader):
    ids = [f"{n:08x}{'0' * 24}" for n in range(1, 41)]
    for number, trace_id in enumerate(ids):
        start = ago(minutes=100 - 2 * number)
        lines.add(
            Row("in", start, trace_id=trace_id, service="api"),
            Row("out", start + timedelta(seconds=90), trace_id=trace_id,
                severity=17 if number % 4 == 0 else 9),
        )  # fmt: skip # two rows
    for errors, expected in ((False, ids[::-1]), (True, ids[::4][::-1])):
        found, cursor = [], ""
        while True:
            page = await query.traces(
                reader, query.parse(since="-1d"), errors=errors, limit=7, cursor=cursor
            )
            found += page.traces
            if not page.next_cursor:
                break
            cursor = page.next_cursor
        assert [one.id for one in found] == expected
        assert all(one.lines == 2 and len(one.components) == 2 for one in found)
    page = await query.traces(reader, query.parse(since="-1d"), sort="errors", limit=3)
    assert [one.errors for one in page.traces] == [1, 1, 1]
    page = await query.traces(
        reader, query.parse(since="-1d"), sort="errors", limit=30,
        cursor=page.next_cursor,
    )  # fmt: skip # one call
    assert len(page.traces) == 7
    assert (await query.last_trace(reader)).id == ids[-1]
    assert (await query.last_trace(reader, errors=True)).id == ids[36]


async def test_a_follower_waits_for_transactions_that_began_earlier(
    lines, reader, store_dsn
):
    lines.add(Row("0"))
    first = await query.logs_after(reader, 0)
    assert [one.body for one in first.lines] == ["0"]
    with psycopg.connect(store_dsn) as early, psycopg.connect(store_dsn) as late:
        lines.insert(early, (Row("1"), Row("2")))
        lines.insert(late, (Row("3"),))
        late.commit()
        nothing = await query.logs_after(reader, first.seq)
        assert (nothing.lines, nothing.seq) == ([], first.seq)
        early.commit()
    rest = await query.logs_after(reader, first.seq, limit=2)
    more = await query.logs_after(reader, rest.seq, limit=2)
    assert [one.body for one in rest.lines + more.lines] == ["1", "2", "3"]
    assert (await query.logs_after(reader, more.seq)).lines == []


async def test_while_the_store_is_away_the_answer_says_so_within_three_seconds(
    redis_url,
):
    producer = queue.Producer(redis_url)
    producer.admit(entry(["x"] * 7))
    producer.close()
    async with query.Reader("postgresql://u:hush@127.0.0.1:1/d", redis_url) as reader:
        before = time.monotonic()
        with pytest.raises(StoreUnreachableError) as away:
            await query.logs(reader, query.parse())
        assert time.monotonic() - before < 3
    said = str(away.value)
    assert said.startswith("store unreachable since 20")
    assert "7 records queued, nothing lost" in said
    assert "hush" not in said


async def test_a_store_that_accepts_and_says_nothing_is_away_too():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts
        dsn = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d"
        before = time.monotonic()
        async with query.Reader(dsn) as reader:
            with pytest.raises(StoreUnreachableError, match="unreachable since"):
                await query.logs(reader, query.parse())
        # Closing included: a command answers after it, and has yet to be imported.
        assert time.monotonic() - before < 2.5


async def test_nothing_running_names_the_command_that_starts_it(tmp_path):
    async with query.Reader(data_dir=tmp_path) as reader:
        with pytest.raises(StoreUnreachableError, match="`godot-otel up`"):
            await query.logs(reader, query.parse())


async def test_a_database_without_tables_is_no_store_yet(postgres):
    async with query.Reader(postgres.dsn("postgres")) as reader:
        with pytest.raises(SchemaError, match="godot-otel migrate"):
            await query.logs(reader, query.parse())


async def test_a_store_of_a_release_before_is_to_be_migrated_first(postgres):
    """Whatever is asked, and however: its columns may not be there yet."""
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE earlier")
        try:
            await store.migrate(postgres.dsn("earlier"), newest=4)
            async with query.Reader(postgres.dsn("earlier")) as reader:
                with pytest.raises(SchemaError, match="run `godot-otel migrate`"):
                    await query.trace(reader, query.parse(trace_id=TRACE))
                with pytest.raises(SchemaError, match="run `godot-otel migrate`"):
                    await query.logs(reader, query.parse())
        finally:
            connection.execute("DROP DATABASE earlier WITH (FORCE)")


async def test_connections_that_the_server_ended_are_replaced_unnoticed(
    lines, reader, store_dsn
):
    lines.add(Row("a", trace_id=TRACE), Row("b", trace_id=TRACE))
    asked = query.parse(trace_id=TRACE)
    for _ in range(3):
        many = await asyncio.gather(*(query.trace(reader, asked) for _ in range(6)))
        assert [len(one.page.lines) for one in many] == [2] * 6
        with psycopg.connect(store_dsn, autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchall()
        assert ended


async def test_a_reader_changes_nothing_and_ends_what_takes_too_long(reader, lines):
    async with reader.connection() as connection:
        for name, value in (("TimeZone", "UTC"), ("statement_timeout", "10s")):
            shown = await connection.execute("SELECT current_setting(%s)", [name])
            assert await shown.fetchone() == (value,)
    with pytest.raises(GodotError, match=r"refused \(25006\)"):
        async with reader.connection() as connection:
            await connection.execute("DELETE FROM logs")


async def test_a_bad_regular_expression_is_the_askers_mistake(lines, reader):
    lines.add(Row("a", attributes={"k": "v"}))
    with pytest.raises(query.FilterError, match="no regular expression"):
        await bodies(reader, where=["k~("])
