"""Trace look-ups without a window over many partitions, while rows come in."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from fix_otlp import entry
from fix_processes import CollectorProcess, count, wait_until

from godot_otel import query, queue

READERS, LOOKUPS, HOURS = 16, 500, 168
HOUR_NS = 3_600_000_000_000


@pytest.mark.slow
async def test_sixteen_readers_look_up_traces_over_168_partitions_during_ingest(
    redis_url, store_dsn, producer, tmp_path
):
    collector = CollectorProcess(tmp_path, redis_url, store_dsn)
    now = time.time_ns()
    traces = []
    for hour in range(HOURS):
        trace_id = os.urandom(16)
        traces.append(trace_id.hex())
        when = now - hour * HOUR_NS
        producer.admit(entry(["a", "b"], trace_id=trace_id, time_ns=when))
    wait_until(lambda: count(store_dsn) == 2 * HOURS, "a row in each partition", 120)
    with psycopg.connect(store_dsn) as connection:
        partitions = connection.execute(
            "SELECT count(*) FROM partitions WHERE parent = 'logs'"
        ).fetchone()
    assert partitions is not None
    assert partitions[0] >= HOURS
    done = threading.Event()
    ingest = threading.Thread(target=fill, args=[redis_url, done])
    ingest.start()
    try:
        before = count(store_dsn)
        work = iter([traces[n % HOURS] for n in range(LOOKUPS)])
        found = await asyncio.gather(
            *(look_up(store_dsn, redis_url, work) for _ in range(READERS))
        )
        assert count(store_dsn) > before, "nothing was stored meanwhile"
    finally:
        done.set()
        ingest.join()
        assert collector.stop() == 0
    assert sum(found) == LOOKUPS


async def look_up(dsn: str, redis_url: str, work: Iterator[str]) -> int:
    """Look up traces until there is none left; each must have its two lines."""
    found = 0
    async with query.Reader(dsn, redis_url) as reader:
        for trace_id in work:
            answer = await query.trace(reader, query.parse(trace_id=trace_id))
            assert [line.body for line in answer.page.lines] == ["a", "b"]
            found += 1
    return found


def fill(redis_url: str, done: threading.Event) -> None:
    producer = queue.Producer(redis_url)
    while not done.wait(0.01):
        producer.admit(
            entry([f"line {n}" for n in range(100)], trace_id=os.urandom(16))
        )
    producer.close()
