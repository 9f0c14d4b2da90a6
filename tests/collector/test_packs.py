"""What was over a day ago takes less room, and is the same whoever asks."""

import threading
from datetime import datetime, timedelta

import psycopg
import pytest
from fix_lines import Lines, Row, wherever
from fix_partitions import ago, run
from fix_processes import count

from godot_otel import clear, query, sql, store
from godot_otel.query.packs import stored
from godot_otel.query.reader import fetch
from godot_otel.query.slices import slices
from godot_otel_collector import packs
from godot_otel_collector.closing import Closing
from godot_otel_collector.packs import Packs
from godot_otel_collector.retention import Retention

ODD = """
INSERT INTO logs
SELECT
    %(when)s + n / 5 * interval '1 millisecond', now(), (1 << 20) + n, n %% 50, 3, 4,
    CASE WHEN n %% 3 = 0 THEN now() END,
    CASE WHEN n %% 4 > 0 THEN md5((n / 9)::text)::uuid END,
    CASE WHEN n %% 7 = 0 THEN 2 END, n %% 1000, CASE WHEN n %% 3 = 0 THEN 5 END, 1,
    1 + n %% 24, CASE WHEN n %% 4 > 0 THEN n %% 2 END,
    CASE WHEN n %% 4 > 1 THEN decode(left(md5(n::text), 16), 'hex') END,
    CASE n %% 3 WHEN 0 THEN '' ELSE 'prod' END, 'orders', 'shop',
    CASE WHEN n %% 11 = 0 THEN 'Notice' END, CASE WHEN n %% 13 = 0 THEN 'event' END,
    CASE n %% 97
        WHEN 0 THEN repeat(md5(n::text), 1900)
        WHEN 1 THEN ''
        WHEN 2 THEN E'{"\\\\",NULL}\\n\\t\U0001f43f'
        ELSE 'line ' || n || ' of ' || md5(n::text)
    END,
    CASE WHEN n %% 17 = 0 THEN 'null'::jsonb END,
    CASE n %% 5 WHEN 0 THEN NULL WHEN 1 THEN '{}' ELSE
        jsonb_build_object('n', n, 'a b', jsonb_build_array(NULL, '"', 1.5)) END
FROM generate_series(1, %(rows)s) AS n
"""


@pytest.fixture
def lines(store_dsn) -> Lines:
    return Lines(store_dsn)


def aged(lines: Lines, *, rows: int = 9000, days: float = 2) -> datetime:
    """Fill a closed hour of some days ago with rows of every kind; return its start."""
    when = ago(days=days).replace(minute=0, second=0, microsecond=0)
    lines.add(Row("the first", when))
    with psycopg.connect(lines.dsn) as connection:
        connection.execute(ODD, {"when": when, "rows": rows})
    run(lines.dsn, "UPDATE partitions SET closed_at = now() WHERE upper < now()")
    return when


def columns(dsn: str) -> list[str]:
    found = run(
        dsn,
        "SELECT attname FROM pg_attribute WHERE attrelid = 'logs'::regclass"
        " AND attnum > 0 AND NOT attisdropped",
    )
    return [name for (name,) in found]


def everything(dsn: str) -> list[tuple]:
    """Each line in all its columns, wherever it is."""
    names = columns(dsn)
    shown = ", ".join(f"{one}::text" for one in names)
    order = "logs.seq, logs.ingested_at, logs.body"
    return run(dsn, f"SELECT {shown} FROM {wherever(*names)} ORDER BY {order}")


def size(dsn: str) -> int:
    statement = (
        "SELECT sum(pg_total_relation_size(to_regclass(name))) FROM partitions"
        " WHERE parent IN ('logs', 'log_packs') AND upper < now()"
    )
    return int(run(dsn, statement)[0][0])


def due(dsn: str) -> None:
    run(dsn, "UPDATE partitions SET packed_at = now() - interval '2 hours'")


async def test_every_line_is_the_same_in_a_pack_and_takes_less_room(
    lines, store_dsn, owner
):
    aged(lines)
    before, room = everything(store_dsn), size(store_dsn)
    shown = run(store_dsn, "SELECT * FROM log_lines ORDER BY seq, body")
    assert len(before) == 9001
    await Packs().run(owner)
    assert count(store_dsn, "logs") == 0
    assert everything(store_dsn) == before
    assert run(store_dsn, "SELECT * FROM log_lines ORDER BY seq, body") == shown
    assert size(store_dsn) < room / 2
    assert run(store_dsn, "SELECT max(lines), sum(lines) FROM log_packs") == [
        (128, 9001)
    ]
    wrong = (
        "SELECT count(*) FROM log_packs WHERE lines <> cardinality(body)"
        " OR seq_first <> (SELECT min(n) FROM unnest(seq) AS n)"
        " OR seq_last <> (SELECT max(n) FROM unnest(seq) AS n)"
        " OR time_first <> time[1] OR time_last <> time[lines]"
    )
    assert run(store_dsn, wrong) == [(0,)]


async def test_a_window_of_the_view_reads_what_is_in_it_alone(lines, store_dsn, owner):
    when = aged(lines)
    await Packs().run(owner)
    since, until = when + timedelta(seconds=1), when + timedelta(milliseconds=1100)
    window = "SELECT seq FROM log_lines(%s, %s) ORDER BY seq"
    found = run(store_dsn, window, since, until)
    whole = "SELECT seq FROM log_lines WHERE time >= %s AND time < %s ORDER BY seq"
    assert found == run(store_dsn, whole, since, until)
    assert len(found) == 500
    plan = run(store_dsn, f"EXPLAIN (ANALYZE, TIMING off) {window}", since, until)
    unpacked = max(
        float(line.split("actual rows=")[1].split()[0])
        for (line,) in plan
        if "ProjectSet" in line
    )
    assert unpacked < 1000
    assert not any("word_filters" in line for (line,) in plan)
    partitions = {
        line.split(" on ")[1].split()[0] for (line,) in plan if " on " in line
    }
    assert len([one for one in partitions if one.startswith("log_packs")]) == 1


async def test_what_is_younger_than_a_day_open_or_small_stays_as_it_is(
    lines, store_dsn, owner
):
    aged(lines, days=0.5)
    aged(lines, days=3, rows=100)
    open_still = aged(lines, days=4)
    run(
        store_dsn, "UPDATE partitions SET closed_at = NULL WHERE lower = %s", open_still
    )
    await Packs().run(owner)
    assert count(store_dsn, "log_packs") == 0
    assert run(store_dsn, "SELECT oldest_reader FROM settings") == [(1,)]


async def test_late_lines_lie_beside_the_packs_until_they_are_packed_too(
    lines, store_dsn, owner
):
    when = aged(lines)
    await Packs().run(owner)
    assert count(store_dsn, "logs") == 0
    with psycopg.connect(store_dsn) as connection:
        connection.execute(ODD, {"when": when, "rows": 2000})
    before = everything(store_dsn)
    await Packs().run(owner)
    assert count(store_dsn, "logs") == 2000, "not before an hour has passed"
    due(store_dsn)
    await Packs().run(owner)
    assert count(store_dsn, "logs") == 0
    assert everything(store_dsn) == before


@pytest.mark.slow
async def test_readers_and_writers_beside_it_miss_nothing(lines, store_dsn, owner):
    when = aged(lines)
    added, seen, done = 0, [], threading.Event()
    total = (
        f"SELECT count(*), count(DISTINCT (seq, body)) FROM {wherever('seq', 'body')}"
    )

    def write() -> None:
        nonlocal added
        while not done.is_set():
            lines.add(Row(f"late {added}", when + timedelta(minutes=5)))
            added += 1

    def read() -> None:
        with psycopg.connect(store_dsn, autocommit=True) as connection:
            while not done.is_set():
                least = 9001 + added
                rows, distinct = connection.execute(total).fetchone()
                seen.append((least <= rows, rows == distinct))

    threads = [threading.Thread(target=one) for one in (write, read)]
    for one in threads:
        one.start()
    try:
        for _ in range(3):
            await Packs().run(owner)
            due(store_dsn)
    finally:
        done.set()
        for one in threads:
            one.join()
    assert added > 5
    assert len(seen) > 3
    assert set(seen) == {(True, True)}
    assert run(store_dsn, total) == [(9001 + added, 9001 + added)]


async def test_a_long_query_keeps_what_it_sees_and_is_not_waited_for(
    lines, store_dsn, owner
):
    aged(lines)
    room = size(store_dsn)
    with psycopg.connect(store_dsn) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert reader.execute("SELECT count(*) FROM logs").fetchone() == (9001,)
        await Packs().run(owner)
        assert reader.execute("SELECT count(*) FROM logs").fetchone() == (9001,)
    assert size(store_dsn) > room, "the rows that it saw are still there"
    await Packs().run(owner)
    assert size(store_dsn) < room / 2
    finished = "SELECT count(*) FROM partitions WHERE packed_at > now() - interval '1h'"
    assert run(store_dsn, finished) == [(1,)]


async def test_a_round_has_its_time_and_the_next_goes_on(
    lines, store_dsn, owner, monkeypatch
):
    monkeypatch.setattr(packs, "_SECONDS", 0.01)
    aged(lines)
    before = everything(store_dsn)
    await Packs().run(owner)
    assert 0 < count(store_dsn, "logs") < 9001
    for _ in range(4):
        await Packs().run(owner)
    assert count(store_dsn, "logs") == 0
    assert everything(store_dsn) == before


async def test_what_was_begun_is_finished_before_what_is_newer(
    lines, store_dsn, owner, monkeypatch
):
    monkeypatch.setattr(packs, "_SECONDS", 0.01)
    begun = aged(lines, days=3)
    await Packs().run(owner)
    aged(lines, days=2)
    task = Packs()
    left = "SELECT count(*) FROM logs WHERE time < %s"
    assert run(store_dsn, left, begun + timedelta(hours=1))[0][0]
    while older := run(store_dsn, left, begun + timedelta(hours=1))[0][0]:
        assert count(store_dsn, "logs") == older + 9001  # the newer one is untouched
        await task.run(owner)
    assert task.more
    while task.more:
        await task.run(owner)
    assert count(store_dsn, "logs") == 0


async def test_one_that_cannot_be_packed_keeps_no_other_back(lines, store_dsn, owner):
    aged(lines, days=3)
    when = aged(lines, days=2)
    ((name,),) = run(
        store_dsn,
        "SELECT name FROM partitions WHERE parent = 'log_packs' AND lower = %s",
        when,
    )
    run(store_dsn, f"ALTER TABLE {name} ADD CHECK (lines < 0)")
    before = everything(store_dsn)
    with pytest.raises(psycopg.errors.CheckViolation):
        await Packs().run(owner)
    assert count(store_dsn, "logs") == 9001
    assert everything(store_dsn) == before


async def test_clearing_a_few_lines_of_packs_lets_the_store_grow_little(
    lines, store_dsn, owner
):
    when = aged(lines, rows=60_000)
    await Packs().run(owner)
    room, left = size(store_dsn), count(store_dsn, "log_lines")
    choice = clear.Choice(when + timedelta(hours=1), level="DEBUG")
    done = await clear.clear(owner, choice, caller="test")
    assert done.counts.lines > 5000
    assert count(store_dsn, "log_lines") == left - done.counts.lines
    assert count(store_dsn, "logs") == 0
    assert size(store_dsn) < room * 1.6


async def test_a_store_at_its_limit_drops_nothing_for_what_is_being_packed(
    lines, store_dsn, owner, source, monkeypatch
):
    monkeypatch.setattr(packs, "_SECONDS", 0.01)
    aged(lines, days=3)
    aged(lines, days=2)
    every = "sum(pg_total_relation_size(to_regclass(name)))::bigint"
    run(
        store_dsn,
        f"UPDATE settings SET retention_bytes = (SELECT {every} FROM partitions)",
    )
    for _ in range(2):
        await Packs().run(owner)
        await Retention(source).run(owner)
    assert 0 < count(store_dsn, "logs") < 18_002
    assert count(store_dsn, "log_lines") == 18_002


async def test_a_tail_from_the_beginning_goes_on_while_an_hour_is_dropped(
    lines, store_dsn, owner
):
    aged(lines)
    lines.add(Row("of today"))
    # As between the drops of its tables: logs go before what finds them.
    run(store_dsn, "DELETE FROM partitions WHERE parent = 'logs' AND upper < now()")
    async with query.Reader(store_dsn) as reader:
        tail = await query.logs_after(reader, 0)
        assert tail.lines[-1].body == "of today"
        assert await query.around(reader, query.parse(), tail.lines[-1].seq)


async def test_many_traces_are_found_in_packs_as_few_are(lines, store_dsn, owner):
    aged(lines)
    ids = "SELECT DISTINCT trace_id FROM logs WHERE trace_id IS NOT NULL"
    traces = [one for (one,) in run(store_dsn, ids)]
    await Packs().run(owner)
    async with query.Reader(store_dsn) as reader, reader.connection() as connection:
        (piece, *_) = await slices(connection, "logs", ago(days=3), ago(days=1.5))
        for some in (traces[:3], traces[:100], traces[:300]):
            source = stored(piece, traces=some)
            found = await fetch(
                connection,
                "SELECT count(DISTINCT l.trace_id) FROM {source} AS l"
                " WHERE l.trace_id = ANY(%s)",
                [*source.values, some],
                source=source,
            )
            assert found == [(len(some),)]


async def test_many_lines_of_one_microsecond_and_large_ones(lines, store_dsn, owner):
    when = ago(days=2).replace(minute=0, second=0, microsecond=0)
    lines.add(Row("the first", when))
    with psycopg.connect(store_dsn) as connection:
        connection.execute(ODD, {"when": when, "rows": 1})
        connection.execute(
            "INSERT INTO logs SELECT %s, now(), (1 << 21) + n, 1, 2, 3, NULL, NULL,"
            " NULL, 0, NULL, 0, 9, NULL, NULL, '', 's', 'l', NULL, NULL,"
            " CASE WHEN n <= 200 THEN repeat(chr(65 + n %% 26), 65536) ELSE n::text END"
            " FROM generate_series(1, 10000) AS n",
            [when],
        )
    run(store_dsn, "UPDATE partitions SET closed_at = now() WHERE upper < now()")
    before = everything(store_dsn)
    await Packs().run(owner)
    assert count(store_dsn, "logs") == 0
    assert everything(store_dsn) == before
    raw = "SELECT sum(octet_length(one)) FROM log_packs, unnest(body) AS one"
    per_pack = f"SELECT max(sum) FROM ({raw} GROUP BY log_packs.ctid)"
    assert run(store_dsn, f"{per_pack} AS packs")[0][0] <= 2 * 1048576


async def test_a_program_of_before_is_refused_once_there_are_packs(
    lines, store_dsn, owner
):
    aged(lines)
    await Packs().run(owner)
    ((oldest,),) = run(store_dsn, "SELECT oldest_reader FROM settings")
    first = next(one for one in sql.migrations() if "log_packs" in one.text)
    assert oldest == first.number
    await store.check_schema(owner)


async def test_a_newer_schema_is_left_to_newer_collectors(lines, store_dsn, owner):
    aged(lines)
    run(store_dsn, "INSERT INTO schema_migrations VALUES (9999, 'later', 'x')")
    await Packs().run(owner)
    assert count(store_dsn, "log_packs") == 0


async def test_closing_and_packing_follow_each_other(lines, store_dsn, owner):
    when = ago(days=2).replace(minute=0, second=0, microsecond=0)
    rows = [
        Row(f"line {n} of a day ago", when + timedelta(seconds=n)) for n in range(3000)
    ]
    lines.add(*rows)
    await Closing().run(owner)
    await Packs().run(owner)
    assert count(store_dsn, "logs") == 0
    async with query.Reader(store_dsn) as reader:
        filters = query.parse(search="2999", since="-3d")
        (line,) = (await query.logs(reader, filters)).lines
    assert line.body == "line 2999 of a day ago"


async def test_a_role_that_may_read_the_views_alone_reads_lines_of_any_age(
    lines, store_dsn, owner
):
    when = aged(lines)
    await Packs().run(owner)
    windows = (
        "SELECT count(*) FROM log_lines",
        f"SELECT count(*) FROM log_lines('{when}', '{when + timedelta(hours=1)}')",
    )
    with psycopg.connect(store_dsn) as connection:  # rolled back, the role as well
        connection.execute("CREATE ROLE dashboards")
        connection.execute("GRANT SELECT ON log_lines, stored_lines TO dashboards")
        connection.execute("SET ROLE dashboards")
        for one in windows:
            assert connection.execute(one).fetchone() == (9001,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT FROM logs")
        connection.rollback()
