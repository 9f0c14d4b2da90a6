"""What is too old or too much goes; ingest does not feel it."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
from fix_lines import HOUR, Lines, Row
from fix_otlp import entry
from fix_partitions import (
    TRACE,
    ago,
    filled,
    lowers,
    maintained,
    pending,
    reading,
    run,
    tables,
    until,
)
from fix_processes import count

from godot_otel import queue, store
from godot_otel_collector.partitions import Partitions
from godot_otel_collector.retention import Retention


async def test_what_is_older_than_retention_goes_with_all_that_finds_it(
    store_dsn, owner, source
):
    filled(store_dsn, timedelta(days=9), timedelta(days=6), timedelta(0))
    await Retention(source).run(owner)
    for parent in ("logs", "word_filters", "log_counts", "trace_index"):
        assert min(lowers(store_dsn, parent)) > ago(days=7, hours=1)
    assert count(store_dsn) == count(store_dsn, "log_counts") == 2
    assert len(tables(store_dsn)) == 10
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
            await until(lambda: len(tables(store_dsn)) == 5)
            gone = time.monotonic() - ended
    print(f"longest pause of ingest {max(took) * 1000:.0f} ms in {len(took)} commits,"
          f" {held} of them beside the query; gone {gone:.1f} s after it")  # fmt: skip
    assert held > 10
    assert max(took) < 1
    assert gone < 5
