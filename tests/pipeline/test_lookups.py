"""Trace look-ups without a window over many partitions, while rows come in."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from fix_otlp import entry
from fix_partitions import collecting, until
from fix_processes import CollectorProcess, count, wait_until
from mcp import Client

from godot_otel import query, queue, store
from godot_otel.mcp import server

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


@pytest.mark.slow
async def test_of_30_days_32_agents_at_once_get_their_traces(
    redis_url, store_dsn, producer
):
    await store.migrate(store_dsn, retention_days=30)
    traces = [f"{n + 1:032x}" for n in range(29)]
    now = time.time_ns()
    async with collecting(redis_url, store_dsn):
        for days, trace_id in enumerate(map(bytes.fromhex, traces)):
            when = now - days * 24 * HOUR_NS
            producer.admit(entry(["a", "b"], trace_id=trace_id, time_ns=when))
        await until(lambda: count(store_dsn) == 2 * len(traces))

    async def ask(agent: int) -> int:
        async with Client(server.build(reader)) as client:
            for n in range(10):
                wanted = traces[(agent + n) % len(traces)]
                answer = await client.call_tool(
                    "logger_get_trace", {"trace_id": wanted, "format": "json"}
                )
                assert not answer.is_error, answer.content
                found = json.loads(answer.content[0].text)["rows"]
                assert [row["body"] for row in found] == ["a", "b"]
        return 10

    async with query.Reader(store_dsn, redis_url) as reader:
        assert sum(await asyncio.gather(*map(ask, range(32)))) == 320


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
