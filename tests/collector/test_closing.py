"""What is over has few rows in the rollups, and every sum stays."""

import asyncio
import threading
import time
import uuid
from datetime import timedelta

import psycopg
from fix_lines import Lines, Row
from fix_partitions import TRACE, ago, filled, run
from fix_processes import count

from godot_otel_collector.closing import Closing


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
    lines.add(Row("a line", yesterday), Row("a line", yesterday))
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
