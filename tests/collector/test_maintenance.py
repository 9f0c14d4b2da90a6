"""Partitions close, age and go; ingest does not feel it, and nothing is miscounted."""

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fix_lines import HOUR, Lines, Row
from fix_otlp import entry
from fix_processes import CollectorProcess, count, wait_until

from godot_otel import query, queue, store
from godot_otel_collector import maintenance
from godot_otel_collector.closing import Closing
from godot_otel_collector.collector import Collector
from godot_otel_collector.dropping import InUseError
from godot_otel_collector.forgetting import Forgetting
from godot_otel_collector.maintenance import Maintenance
from godot_otel_collector.partitions import Partitions
from godot_otel_collector.retention import Retention

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENTS = ("logs", "word_filters", "log_counts", "trace_index", "batches")


@pytest.fixture
async def source(redis_url) -> AsyncIterator[queue.Queue]:
    source = queue.Queue(redis_url)
    yield source
    await source.close()


@pytest.fixture
async def owner(store_dsn) -> AsyncIterator[store.Connection]:
    async with await store.connect(store_dsn) as connection:
        yield connection


def ago(**age: float) -> datetime:
    return datetime.now(UTC) - timedelta(**age)


def run(dsn: str, statement: str, *values: object) -> list[tuple]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def lowers(dsn: str, parent: str = "logs") -> list[datetime]:
    """The partitions that are really attached."""
    rows = run(
        dsn,
        "SELECT lower FROM partitions JOIN pg_inherits"
        " ON inhrelid = to_regclass(name) AND NOT inhdetachpending"
        " WHERE parent = %s ORDER BY lower",
        parent,
    )
    return [lower for (lower,) in rows]


def tables(dsn: str) -> set[str]:
    """Every table that looks like a partition, attached or not."""
    rows = run(
        dsn,
        r"SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '_\d{8,}'",
    )
    return {name for (name,) in rows}


def filled(dsn: str, *ages: timedelta) -> Lines:
    """A store with a line of each age, each in an hour of its own."""
    lines = Lines(dsn)
    for age in ages:
        lines.add(Row("a line", datetime.now(UTC) - age, trace_id=TRACE))
    return lines


async def test_what_is_older_than_retention_goes_with_all_that_finds_it(
    store_dsn, owner, source
):
    filled(store_dsn, timedelta(days=9), timedelta(days=6), timedelta(0))
    await Retention(source).run(owner)
    for parent in PARENTS[:4]:
        assert min(lowers(store_dsn, parent)) > ago(days=7, hours=1)
    assert count(store_dsn) == count(store_dsn, "log_counts") == 2
    assert len(tables(store_dsn)) == 8
    await Retention(source).run(owner)
    assert count(store_dsn) == 2


async def test_a_day_of_the_trace_index_stays_while_lines_of_it_are_left(
    store_dsn, owner, source
):
    day = (ago(days=5)).replace(hour=0, minute=30)
    Lines(store_dsn).add(*(Row("x", day + n * HOUR, trace_id=TRACE) for n in range(3)))
    for expected in (1, 1, 0):
        run(
            store_dsn,
            "UPDATE partitions SET lower = lower - interval '9 days',"
            " upper = upper - interval '9 days' WHERE parent <> 'trace_index' AND"
            " lower = (SELECT min(lower) FROM partitions WHERE parent = 'logs'"
            " AND lower > now() - interval '6 days')",
        )
        await Retention(source).run(owner)
        assert len(lowers(store_dsn, "trace_index")) == expected
    assert lowers(store_dsn) == []


async def test_retention_by_bytes_drops_the_oldest_until_it_fits_and_never_the_current(
    store_dsn, owner, source
):
    body = "x" * 2000
    lines = Lines(store_dsn)
    for hours in (30, 20, 10, 0):
        lines.add(*(Row(body, ago(hours=hours)) for _ in range(200)))
    before = lowers(store_dsn)
    size = run(
        store_dsn,
        "SELECT sum(pg_total_relation_size(to_regclass(name))) FROM partitions",
    )[0][0]
    await store.migrate(store_dsn, retention_bytes=int(size) - 1)
    await Retention(source).run(owner)
    assert lowers(store_dsn) == before[1:], "one hour is enough, and it is the oldest"
    await store.migrate(store_dsn, retention_bytes=1)
    await Retention(source).run(owner)
    assert lowers(store_dsn) == before[-1:]
    assert count(store_dsn) == 200
    await store.migrate(store_dsn, retention_days=7)
    assert run(store_dsn, "SELECT retention_bytes FROM settings") == [(1,)]


async def test_the_ledger_is_kept_as_long_as_a_batch_may_still_come_again(
    store_dsn, owner, source, producer
):
    partitions = Partitions(store_dsn)
    await source.prepare(max_bytes=2**30, max_records=2**20)
    days = (40, 31, 29)
    ids = [queue.batch_id((time.time_ns() // 1_000_000) - n * 86_400_000) for n in days]
    await partitions.ensure([], ids)
    assert len(lowers(store_dsn, "batches")) == 3
    # What waits in the queue for long was taken in long ago, and may be stored already.
    old = (time.time_ns() // 1_000_000) - 15 * 86_400_000
    fields = dict(zip(*[iter(entry(["waits"]).fields())] * 2, strict=True))
    producer._redis.xadd(queue.stream_key(), fields, id=f"{old}-0")
    await Retention(source).run(owner)
    assert len(lowers(store_dsn, "batches")) == 3
    producer._redis.delete(queue.stream_key())
    await Retention(source).run(owner)
    assert len(lowers(store_dsn, "batches")) == 2


async def test_what_no_line_names_any_more_is_forgotten(store_dsn, owner):
    for table in ("resources", "scopes", "templates"):
        columns = {
            "resources": "id, service, environment, version, attributes, schema_url,"
            " dropped_attributes, last_seen",
            "scopes": "id, name, version, attributes, schema_url, dropped_attributes,"
            " last_seen",
            "templates": "id, logger, template, last_seen",
        }[table]
        texts = columns.count(",") - 1
        values = {8: "'', '', '', '{}', '', 0", 7: "'', '', '{}', '', 0", 4: "'', ''"}
        run(
            store_dsn,
            f"INSERT INTO {table} ({columns}) SELECT n, {values[texts + 2]},"
            " CURRENT_DATE - n FROM generate_series(0, 1500) AS n",
        )
    run(
        store_dsn,
        "INSERT INTO emitters (instance, service, counters, last_seen)"
        " SELECT gen_random_uuid(), '', '{}', now() - make_interval(days => n)"
        " FROM generate_series(0, 9) AS n",
    )
    await Forgetting().run(owner)
    for table in ("resources", "scopes", "templates"):
        assert run(store_dsn, f"SELECT max(id) FROM {table}") == [(14,)], table
    assert count(store_dsn, "emitters") == 7


async def test_an_entry_that_a_writer_holds_is_not_waited_for(store_dsn, owner):
    statement = (
        "INSERT INTO templates (id, logger, template, last_seen)"
        " VALUES (1, '', '', '2020-01-01'), (2, '', '', '2020-01-01')"
    )
    run(store_dsn, statement)
    with psycopg.connect(store_dsn) as writer:
        writer.execute("UPDATE templates SET last_seen = CURRENT_DATE WHERE id = 1")
        await asyncio.wait_for(Forgetting().run(owner), 5)
    assert run(store_dsn, "SELECT id FROM templates") == [(1,)]


async def test_closing_merges_counts_and_traces_and_keeps_every_sum(store_dsn, owner):
    yesterday = ago(days=1)
    lines = Lines(store_dsn)
    rows = [
        Row(f"line {n}", yesterday + timedelta(seconds=n % 120),
            service=f"s{n % 3}", severity=(9, 17)[n % 2],
            trace_id=uuid.UUID(int=n % 7 << 120 | 7).hex)
        for n in range(600)
    ]  # fmt: skip # one a line
    lines.add(*rows)
    sums = rollups(store_dsn)
    await Closing().run(owner)
    assert rollups(store_dsn) == sums
    merged = count(store_dsn, "log_counts"), count(store_dsn, "trace_index")
    assert merged[0] <= 3 * 6
    assert merged[1] <= 7 * 3 * 2  # an hour may end between the lines
    left_open = (
        "SELECT count(*) FROM partitions WHERE closed_at IS NULL"
        " AND upper < now() - interval '5 minutes'"
    )
    assert run(store_dsn, left_open) == [(0,)]
    versions = "SELECT count(DISTINCT ctid), max(xmin::text) FROM log_counts"
    before = run(store_dsn, versions)
    run(store_dsn, "UPDATE partitions SET closed_at = NULL")
    await Closing().run(owner)
    assert run(store_dsn, versions) == before, "twice is harmless"
    frozen = run(
        store_dsn,
        "SELECT bool_and(relallvisible = relpages) FROM pg_class JOIN partitions"
        " ON oid = to_regclass(name) WHERE parent = 'logs' AND upper < now()",
    )
    assert frozen == [(True,)]


def rollups(dsn: str) -> list[tuple]:
    return run(
        dsn,
        "SELECT minute, environment, service, severity, template_id, sum(n),"
        " min(first), max(last) FROM log_counts GROUP BY 1, 2, 3, 4, 5"
        " ORDER BY 1, 3, 4",
    ) + run(
        dsn,
        "SELECT trace_id, service, sum(lines), sum(errors), min(first), max(last)"
        " FROM trace_index GROUP BY 1, 2 ORDER BY 1, 2",
    )


async def test_a_partition_that_got_rows_after_it_was_closed_is_closed_again(
    store_dsn, owner
):
    yesterday = ago(days=1)
    lines = filled(store_dsn, timedelta(days=1))
    await Closing().run(owner)
    lines.add(Row("late", yesterday), Row("later", yesterday))
    await Closing().run(owner)
    assert count(store_dsn, "log_counts") == 3, "not before an hour has passed"
    run(store_dsn, "UPDATE partitions SET closed_at = now() - interval '2 hours'")
    run(store_dsn, "SELECT pg_stat_force_next_flush()")
    deadline = time.monotonic() + 10
    while count(store_dsn, "log_counts") != 1:  # Postgres counts inserts a bit later
        assert time.monotonic() < deadline
        await Closing().run(owner)
        await asyncio.sleep(0.2)
    assert run(store_dsn, "SELECT n FROM log_counts") == [(3,)]


async def test_compaction_beside_a_writer_keeps_every_count(store_dsn, owner):
    yesterday = ago(days=1)
    lines = filled(store_dsn, timedelta(days=1))
    written, done = 1, threading.Event()

    def write() -> None:
        nonlocal written
        while not done.is_set():
            lines.add(*(Row("late", yesterday, trace_id=TRACE) for _ in range(5)))
            written += 5

    writer = threading.Thread(target=write)
    writer.start()
    wrong = []
    try:
        for _ in range(5):
            run(store_dsn, "UPDATE partitions SET closed_at = NULL")
            await Closing().run(owner)
            with psycopg.connect(store_dsn) as reader:
                reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                rows, counts, traces = reader.execute(
                    "SELECT (SELECT count(*) FROM logs), (SELECT sum(n) FROM"
                    " log_counts), (SELECT sum(lines) FROM trace_index)"
                ).fetchone()
            wrong += [(rows, counts, traces)] if not rows == counts == traces else []
    finally:
        done.set()
        writer.join()
    assert not wrong
    assert written > 5 * 5, "the writer wrote meanwhile"
    assert count(store_dsn) == written
    assert run(store_dsn, "SELECT sum(n), sum(n) FILTER (WHERE n > 1) > 0 FROM"
                          " log_counts") == [(written, True)]  # fmt: skip


@contextlib.contextmanager
def reading(dsn: str) -> Iterator[None]:
    """A query over all lines that goes on until the block ends."""
    with psycopg.connect(dsn, autocommit=True) as connection:

        def read() -> None:
            with contextlib.suppress(psycopg.errors.QueryCanceled):
                connection.execute("SELECT pg_sleep(120) FROM logs")

        reader = threading.Thread(target=read)
        reader.start()
        wait_until(lambda: running(dsn, "SELECT pg_sleep%"), "the query to run")
        try:
            yield
        finally:
            connection.cancel_safe()
            reader.join()


def running(dsn: str, like: str) -> bool:
    statement = (
        "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    return bool(run(dsn, statement, like))


@contextlib.contextmanager
def ingesting(lines: Lines) -> Iterator[list[float]]:
    """Commit small batches, one after the other; the seconds that each took."""
    took: list[float] = []
    done = threading.Event()
    now = datetime.now(UTC)

    def write() -> None:
        with psycopg.connect(lines.dsn) as connection:
            while not done.is_set():
                start = time.monotonic()
                lines.insert(connection, (Row("now", now), Row("too", now)))
                connection.commit()
                took.append(time.monotonic() - start)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield took
    finally:
        done.set()
        writer.join()


@contextlib.asynccontextmanager
async def maintained(dsn: str, source: queue.Queue) -> AsyncIterator[Maintenance]:
    maintaining = Maintenance(dsn, source=source)
    task = asyncio.create_task(maintaining.run())
    try:
        yield maintaining
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)


def pending(dsn: str) -> bool:
    return bool(run(dsn, "SELECT 1 FROM pg_inherits WHERE inhdetachpending"))


async def test_retention_beside_a_long_query_does_not_hold_up_ingest(store_dsn, source):
    lines = filled(store_dsn, timedelta(days=9), timedelta(0))
    with ingesting(lines) as took:
        async with maintained(store_dsn, source):
            with reading(store_dsn):
                await until(lambda: pending(store_dsn))
                held = len(took)
                await asyncio.sleep(4)
                assert pending(store_dsn), "the query still reads it"
                held = len(took) - held
            ended = time.monotonic()
            await until(lambda: len(tables(store_dsn)) == 4)
            gone = time.monotonic() - ended
    print(f"longest pause of ingest {max(took) * 1000:.0f} ms in {len(took)} commits,"
          f" {held} of them beside the query; gone {gone:.1f} s after it")  # fmt: skip
    assert held > 10
    assert max(took) < 1
    assert gone < 5


async def test_a_detach_killed_half_way_is_finished_at_the_next_start(
    store_dsn, source
):
    filled(store_dsn, timedelta(days=9), timedelta(days=8), timedelta(0))
    with reading(store_dsn):
        async with maintained(store_dsn, source):
            await until(lambda: pending(store_dsn))
            killed = run(
                store_dsn,
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'godot-otel maintenance'"
                " AND datname = current_database()",
            )
            assert killed == [(True,)]
        assert pending(store_dsn)
        assert len(tables(store_dsn)) == 12
    assert pending(store_dsn), "it does not finish by itself"
    async with maintained(store_dsn, source):
        await until(lambda: len(tables(store_dsn)) == 4)
    assert count(store_dsn) == 1
    left = run(store_dsn, "SELECT count(*) FROM partitions")
    assert left == [(4,)]


@pytest.mark.parametrize(
    "half", ["SELECT", "ALTER TABLE logs DETACH PARTITION {}", "DROP TABLE {}"]
)
async def test_what_was_given_up_and_not_dropped_is_dropped_at_the_next_start(
    store_dsn, owner, source, half
):
    filled(store_dsn, timedelta(days=3), timedelta(0))
    run(store_dsn, "UPDATE partitions SET dropped_at = now() WHERE upper < now()")
    run(store_dsn, half.format(oldest(store_dsn)))
    await Retention(source).run(owner)
    assert len(tables(store_dsn)) == count(store_dsn, "partitions") == 4
    assert count(store_dsn) == 1


async def test_a_collector_stops_at_once_while_a_drop_waits_for_a_query(
    redis_url, store_dsn
):
    filled(store_dsn, timedelta(days=9), timedelta(0))
    with reading(store_dsn):
        async with collecting(redis_url, store_dsn):
            await until(lambda: pending(store_dsn))
            start = time.monotonic()
        assert time.monotonic() - start < 3
        assert pending(store_dsn)


@contextlib.asynccontextmanager
async def collecting(redis_url: str, dsn: str) -> AsyncIterator[Collector]:
    collector = Collector(redis_url, owner_dsn=dsn, writer_dsn=dsn)
    task = asyncio.create_task(collector.run())
    try:
        yield collector
    finally:
        collector.stop()
        await task


def late(body: str, **age: float) -> queue.Entry:
    return entry([body, "poison"], time_ns=int(ago(**age).timestamp() * 1e9))


def bodies(dsn: str) -> list[str]:
    return [body for (body,) in run(dsn, "SELECT body FROM logs ORDER BY seq")]


async def test_late_rows_of_a_range_that_was_dropped_are_stored(
    redis_url, store_dsn, source, owner, producer
):
    async with collecting(redis_url, store_dsn):
        producer.admit(late("first", hours=40))
        producer.admit(late("now", hours=0))
        await until(lambda: count(store_dsn) == 4)
        # The collector does not know that what it stored into is gone.
        await store.migrate(store_dsn, retention_bytes=1)
        await Retention(source).run(owner)
        await until(lambda: "first" not in bodies(store_dsn))
        await store.migrate(store_dsn, retention_bytes=0)
        producer.admit(late("second", hours=40))
        await until(lambda: "second" in bodies(store_dsn))
    ages = run(
        store_dsn, "SELECT now() - time > '39 hours' FROM logs WHERE body = 'second'"
    )
    assert ages == [(True,)]
    found = "SELECT sum(n) FROM log_counts WHERE minute < now() - interval '39 hours'"
    assert run(store_dsn, found) == [(2,)]
    async with query.Reader(store_dsn, redis_url) as reader:
        page = await query.logs(reader, query.parse(search="second", since="48h"))
    assert [line.body for line in page.lines] == ["second"]


async def test_late_rows_do_not_wait_for_the_query_that_a_drop_waits_for(
    redis_url, store_dsn, source, owner, producer
):
    filled(store_dsn, timedelta(hours=41), timedelta(0))
    async with collecting(redis_url, store_dsn):
        await until(lambda: len(lowers(store_dsn, "batches")) > 0)
        with reading(store_dsn):
            await store.migrate(store_dsn, retention_bytes=1)
            with pytest.raises(InUseError, match="when a query"):
                await Retention(source).run(owner)
            producer.admit(late("late", hours=41))
            await until(lambda: "late" in bodies(store_dsn), 8)
            assert pending(store_dsn)
    original = run(
        store_dsn,
        "SELECT time > now() - interval '1 hour',"
        " to_timestamp((attributes->>'log.original_time')::numeric / 1e9)"
        " < now() - interval '40 hours' FROM logs WHERE body = 'late'",
    )
    assert original == [(True, True)]


@pytest.mark.parametrize(
    ("parent", "done"),
    [
        ("logs", "DROP TABLE {}"),
        ("logs", "ALTER TABLE logs DETACH PARTITION {}"),
        ("log_counts", "DROP TABLE {}"),
    ],
)
async def test_what_people_drop_or_detach_does_not_stop_ingest(
    redis_url, store_dsn, producer, parent, done
):
    async with collecting(redis_url, store_dsn):
        producer.admit(late("first", hours=40))
        await until(lambda: count(store_dsn) == 2)
        name = oldest(store_dsn, parent)
        run(store_dsn, done.format(name))
        producer.admit(late("second", hours=40))
        await until(lambda: "second" in bodies(store_dsn))
    assert lowers(store_dsn, parent)[0] < ago(hours=39)
    if "DETACH" in done:
        assert count(store_dsn, name) == 2, "what they detached they keep"


def oldest(dsn: str, parent: str = "logs") -> str:
    return run(dsn, "SELECT min(name) FROM partitions WHERE parent = %s", parent)[0][0]


async def test_a_refused_record_costs_itself_alone_where_its_partition_was_dropped(
    redis_url, store_dsn, producer
):
    run(store_dsn, "ALTER TABLE logs ADD CONSTRAINT sound CHECK (body <> 'poison')")
    async with collecting(redis_url, store_dsn):
        producer.admit(late("first", hours=40))
        await until(lambda: count(store_dsn) == 1)
        run(store_dsn, f"DROP TABLE {oldest(store_dsn)}")
        producer.admit(late("second", hours=40))
        await until(lambda: bodies(store_dsn) == ["second"])
    assert count(store_dsn, "dead_letters") == 2


def leader(dsn: str) -> list[int]:
    rows = run(
        dsn,
        "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        " WHERE locktype = 'advisory' AND granted AND objid = %s"
        " AND datname = current_database()",
        maintenance._LOCK,
    )
    return [pid for (pid,) in rows]


def test_of_two_collectors_one_maintains_until_it_is_killed(
    redis_url, store_dsn, tmp_path
):
    first = CollectorProcess(tmp_path, redis_url, store_dsn)
    wait_until(lambda: len(leader(store_dsn)) == 1, "one that maintains")
    second = CollectorProcess(tmp_path, redis_url, store_dsn)
    try:
        before = leader(store_dsn)
        filled(store_dsn, timedelta(days=9))
        time.sleep(3)  # the second one has asked by now
        assert leader(store_dsn) == before
        assert count(store_dsn) == 1, "no round is due, and only the first has rounds"
        first.kill()
        wait_until(lambda: count(store_dsn) == 0, "the second to take over", 15)
        assert len(leader(store_dsn)) == 1
        assert leader(store_dsn) != before
    finally:
        first.kill()
        assert second.stop() == 0
