"""What is cleared is gone, everything else is there, and every sum is right."""

import asyncio
import contextlib
import random
import threading
import uuid
from collections import Counter
from datetime import timedelta

import psycopg
import pytest
from fix_held import bodies, check_sums, hour, rows
from fix_lines import HOUR, Lines, Row, pack
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from godot_otel import clear, query, sql, store
from godot_otel.clear import Choice
from godot_otel.errors import SettingError
from godot_otel.query import FilterError
from godot_otel.queue import Queue
from godot_otel_collector.retention import Retention

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SERVICES = ["orders", "orders-eu", "payments", "o%_\\"]
SEVERITIES = [1, 5, 9, 10, 12, 13, 17, 20, 21, 24, 0]


def some(dice: random.Random, count: int, traces: list[str]) -> list[Row]:
    """Rows of six hours, many of a minute, traces across hours and services."""
    return [
        Row(
            f"line {n} {uuid.uuid4().hex}",
            hour(8)
            + dice.randrange(6) * HOUR
            + timedelta(seconds=dice.choice([0, 59, 60, dice.randrange(3600)]))
            + timedelta(microseconds=dice.choice([0, 1, dice.randrange(10**6)])),
            service=dice.choice(SERVICES),
            severity=dice.choice(SEVERITIES),
            environment=dice.choice(["prod", "test"]),
            trace_id=dice.choice([None, *traces]),
        )
        for n in range(count)
    ]


def meant(row: Row, choice: Choice) -> bool:
    lowest = query.LEVELS.get(choice.level, 0)
    name = choice.component
    if name.endswith("*"):
        named = row.service.startswith(name[:-1])
    else:
        named = name in ("", row.service)
    at_level = not choice.level or lowest <= row.severity <= lowest + 3
    return row.time < choice.before and named and at_level


async def cleared(dsn: str, choice: Choice, **options) -> clear.Cleared:
    async with await store.connect(dsn) as connection:
        return await clear.clear(connection, choice, caller="test", **options)


async def counted(dsn: str, choice: Choice) -> clear.Counts:
    async with await store.connect(dsn) as connection:
        return await clear.count(connection, choice)


@pytest.mark.parametrize("packed", [False, True], ids=["rows", "packs"])
@pytest.mark.parametrize("slice_rows", [2, 20_000])
async def test_every_other_row_and_every_sum_stay_exact(
    lines, store_dsn, monkeypatch, slice_rows, packed
):
    monkeypatch.setattr(clear.tables, "SLICE_ROWS", slice_rows)
    dice = random.Random(slice_rows)
    traces = [uuid.UUID(int=dice.getrandbits(128)).hex for _ in range(12)]
    left = some(dice, 220, traces)
    for start in range(0, len(left), 37):  # many transactions, so counts to be summed
        lines.add(*left[start : start + 37], chunk=9)
    check_sums(store_dsn)
    for _ in range(6):
        choice = Choice(
            hour(8) + timedelta(minutes=dice.randrange(360)),
            dice.choice(["", "", *SERVICES, "orders*", "nobody"]),
            dice.choice(["", "", *query.LEVELS]),
        )
        goes = [row for row in left if meant(row, choice)]
        left = [row for row in left if not meant(row, choice)]
        before = await counted(store_dsn, choice)
        assert before.lines == len(goes), choice
        if packed:
            pack(store_dsn)
        done = await cleared(store_dsn, choice)
        assert done.finished
        assert done.counts == before, choice
        assert (await counted(store_dsn, choice)).lines == 0
        assert bodies(store_dsn) == Counter(row.body for row in left), choice
        check_sums(store_dsn)
    async with query.Reader(store_dsn) as reader:
        for trace_id in traces:
            shown = await query.trace(reader, query.parse(trace_id=trace_id))
            own = [row for row in left if row.trace_id == trace_id]
            assert (shown.trace.lines if shown.trace else 0) == len(own)
            assert len(shown.page.lines) == len(own)
        word = left[0].body.split()[-1]
        page = await query.logs(reader, query.parse(search=word, since="-9h"))
        assert [one.body for one in page.lines] == [left[0].body]
        stats = await query.stats(reader, query.parse(since="-9h"))
        assert sum(stats.levels.values()) == len(left)


async def test_what_comes_and_what_is_merged_meanwhile_is_counted_right(
    lines, store_dsn, monkeypatch
):
    """Batches of the same minutes arrive, and maintenance merges the same counts."""
    monkeypatch.setattr(clear.tables, "SLICE_ROWS", 15)
    start = hour(3)

    def row(n):
        return Row(
            f"line {n}", start + timedelta(seconds=n % 240), severity=9 + n % 2 * 8,
            trace_id=f"{n % 20 + 1:032x}",
        )  # fmt: skip # four minutes, twenty traces

    lines.add(*map(row, range(300)), chunk=20)
    stop = threading.Event()
    late: list[int] = []

    def writes() -> None:
        with psycopg.connect(store_dsn) as connection:
            writer = Lines(store_dsn)
            writer._resources = dict(lines._resources)
            while not stop.wait(0.005):
                part = range(1000 + len(late), 1010 + len(late))
                writer.insert(connection, tuple(map(row, part)))
                connection.commit()
                late.extend(part)

    def merges() -> None:
        with psycopg.connect(store_dsn, autocommit=True) as connection:
            until = start + HOUR
            ids = {"from_id": uuid.UUID(int=0), "to_id": uuid.UUID(int=2**128 - 1)}
            while not stop.wait(0.01):
                times = {"since": start, "until": until}
                connection.execute(sql.query("compact_counts"), times, prepare=False)
                times = {"lower": start, "upper": until, **ids}
                connection.execute(sql.query("compact_traces"), times, prepare=False)

    threads = [threading.Thread(target=one) for one in (writes, merges)]
    for thread in threads:
        thread.start()
    try:
        await asyncio.sleep(0.1)
        done = await cleared(store_dsn, Choice(hour(2), "", "ERROR"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert late
    assert done.counts.lines >= 150
    left = bodies(store_dsn)
    assert not any(n > 1 for n in left.values())
    assert sum(left.values()) == 300 + len(late) - done.counts.lines
    assert {f"line {n}" for n in range(0, 300, 2)} <= set(left)
    check_sums(store_dsn, raced=True)


@pytest.mark.parametrize("which", ["compact_counts", "compact_traces"])
async def test_counts_that_are_being_merged_are_waited_for(lines, store_dsn, which):
    start = hour(3)
    for n in range(4):
        lines.add(Row(f"line {n}", start + timedelta(seconds=n), trace_id=TRACE))
        lines.add(Row("error", start + timedelta(seconds=n), severity=17))
    values = {"since": start, "until": start + HOUR}
    values |= {"lower": start, "upper": start + HOUR}
    values |= {"from_id": uuid.UUID(int=0), "to_id": uuid.UUID(int=2**128 - 1)}
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with psycopg.connect(store_dsn) as connection:
        connection.execute(sql.query(which), values, prepare=False)
        clears = asyncio.create_task(cleared(store_dsn, Choice(hour(2), "", "INFO")))
        while rows(store_dsn, waiting) == [(0,)]:
            assert not clears.done()
            await asyncio.sleep(0.02)
        connection.commit()
    assert (await clears).counts.levels == {"INFO": 4}
    assert bodies(store_dsn) == {"error": 4}
    check_sums(store_dsn)


async def test_whole_partitions_go_as_by_retention_and_are_seen_no_more(
    lines, store_dsn, redis_url
):
    lines.add(
        *(Row(f"old {n}", hour(5) + n * HOUR, trace_id=TRACE) for n in range(3)),
        Row("new", hour(0), trace_id=TRACE),
        Row("gone", hour(5), trace_id="a" * 32),
    )
    rows(
        store_dsn,
        "INSERT INTO audit VALUES (%s, 'somebody', 'clear', 'done', '{}', NULL)",
        hour(9),
    )
    before = hour(3) + timedelta(minutes=1)
    done = await cleared(store_dsn, Choice(before))
    assert done.counts.levels == {"INFO": 4}
    assert set(bodies(store_dsn)) == {"new"}
    check_sums(store_dsn)
    noted = "SELECT count(*) FROM partitions WHERE dropped_at IS NOT NULL"
    assert rows(store_dsn, noted) == [(8,)], "two hours of four tables"
    async with query.Reader(store_dsn) as reader:
        page = await query.logs(reader, query.parse(since="-9h"))
        assert [one.body for one in page.lines] == ["new"]
        stats = await query.stats(reader, query.parse(since="-9h"))
        assert stats.levels == {"INFO": 1}
        shown = await query.trace(reader, query.parse(trace_id=TRACE))
        assert (shown.trace.lines, len(shown.page.lines)) == (1, 1)
        gone = await query.trace(reader, query.parse(trace_id="a" * 32))
        assert gone.trace is None
    source = Queue(redis_url)
    async with await store.connect(store_dsn) as connection:
        await Retention(source).run(connection)
    await source.close()
    assert rows(store_dsn, noted) == [(0,)]
    assert rows(store_dsn, "SELECT body FROM logs") == [("new",)]
    audit = rows(store_dsn, "SELECT at, outcome FROM audit ORDER BY at")
    assert audit[0] == (hour(9), "done")
    assert [outcome for _, outcome in audit[1:]] == ["begun", "done"]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text(max_size=12), min_size=2, max_size=4, unique=True))
@example(names=["' OR true --", "%s", "{clauses}", "a*", "a"])
def test_a_name_of_any_text_is_that_name_alone(store_dsn, names):
    """Nothing of a text becomes SQL, a pattern or another's name."""
    fit = [one for one in names if one and one == one.strip() and "\0" not in one]
    lines = Lines(store_dsn)
    with psycopg.connect(store_dsn, autocommit=True) as connection:
        for parent in ("logs", "log_counts", "word_filters", "partitions", "resources"):
            connection.execute(f"DELETE FROM {parent}")
        tables = connection.execute(
            "SELECT format('DROP TABLE %I', relname) FROM pg_class"
            " WHERE relispartition AND relkind = 'r'"
        ).fetchall()
        for (statement,) in tables:
            connection.execute(statement)
    lines.add(*(Row(name, hour(3), service=name) for name in [*fit, "stays"]))
    left = Counter([*fit, "stays"])
    for name in names:
        choice = None
        with contextlib.suppress(FilterError):
            choice = clear.choose("-2h", name)
        if choice and choice.component:
            asyncio.run(cleared(store_dsn, choice))
            beginning = name.strip().removesuffix("*")
            whole = beginning == name.strip()
            left = Counter({
                one: n for one, n in left.items()
                if (one != beginning if whole else not one.startswith(beginning))
            })  # fmt: skip # as filters have it
        assert bodies(store_dsn) == left, names
        with contextlib.suppress(FilterError):
            clear.choose("-2h", "", name)
        with contextlib.suppress(FilterError):
            clear.choose(name)


async def test_a_call_that_runs_out_of_time_goes_on_with_the_next(
    lines, store_dsn, monkeypatch
):
    monkeypatch.setattr(clear.tables, "SLICE_ROWS", 10)
    lines.add(*(Row(f"{n}", hour(3) + timedelta(seconds=n)) for n in range(40)))
    choice = Choice(hour(2), "orders")
    done = await cleared(store_dsn, choice, seconds=0)
    assert not done.finished
    assert done.counts.lines < 40
    check_sums(store_dsn)
    more = await cleared(store_dsn, choice)
    assert more.finished
    assert done.counts.lines + more.counts.lines == 40
    audited = rows(store_dsn, "SELECT outcome, detail FROM audit ORDER BY at")
    assert [outcome for outcome, _ in audited] == ["begun", "done", "begun", "done"]
    assert audited[1][1]["finished"] is False
    assert audited[3][1] == {
        "lines": more.counts.lines, "levels": more.counts.levels, "finished": True,
        "spans": 0,
    }  # fmt: skip # what came of it


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("-59m",), "newer than an hour ago"),
        (("now",), "newer than an hour ago"),
        (("2100-01-01T00:00:00Z",), "newer than an hour ago"),
        (("2026-11-22T14:30:00",), "no time zone"),
        (("yesterday",), "is no time"),
        (("-2h", "", "LOUD"), "level: 'LOUD' is none of"),
        (("-2h", "a\0"), "component: no service"),
    ],
)
def test_what_cannot_be_cleared_is_refused(given, sentence):
    with pytest.raises(FilterError, match=sentence):
        clear.choose(*given)


def test_a_choice_is_of_whole_minutes_and_one_level():
    choice = clear.choose("2026-01-01T10:20:59.9+01:00", " shop ", "warning")
    assert choice.as_json() == {
        "before": "2026-01-01T09:20:00Z", "component": "shop", "level": "WARN",
    }  # fmt: skip # as answers have it


async def test_the_reader_cannot_clear_nor_add_to_the_audit(lines, store_dsn):
    lines.add(Row("stays", hour(3)))
    name = rows(store_dsn, "SELECT current_database()")[0][0]
    roles = store.role_names(name)
    rows(store_dsn, await store.roles_text(store_dsn))
    try:
        await store.migrate(store_dsn)
        for role, may in (("reader", "SELECT"), ("writer", "INSERT")):
            granted = [
                right
                for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
                if rows(
                    store_dsn,
                    "SELECT has_table_privilege(%s, 'audit', %s)", roles[role], right,
                ) == [(True,)]
            ]  # fmt: skip # one question a right
            assert granted == [may], role
        async with await store.connect(store_dsn) as connection:
            await connection.execute(f"SET ROLE {roles['reader']}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
                await clear.clear(connection, Choice(hour(2)), caller="test")
        assert isinstance(store.refusal(refused.value), SettingError)
        assert set(bodies(store_dsn)) == {"stays"}
    finally:
        for role in roles.values():
            rows(store_dsn, f"DROP OWNED BY {role}")
            rows(store_dsn, f"DROP ROLE {role}")
