"""Questions to a big store while rows come in: traces by id, and a rare word.

    python benchmarks/lookup.py [--rows 10000000] [--hours 168] [--seconds 30] [--json]

The store is built first (``big_store.py``). Then, while a collector stores 1,000
records a second: 16 readers, each a process of its own, look up traces by id without a
time window: first one of each partition, which a session of Postgres has to get to
know, then for a while any, each reader once a second, then five times. Then one reader
asks for a word that 100 lines of the last day hold, the newest a moment ago, for the
first time (after the system's cache of files was dropped, where root can; Postgres
keeps its own) and again, beside a scan of the day's rows. Last, the day's partitions
get the usual index over words (GIN, ``to_tsvector('simple', body)``), and the word is
asked by it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import big_store
import psycopg
from generator import batches
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from servers import Servers, servers

from godot_otel import query, queue

READERS, PAUSES = 16, {"once a second": 1.0, "five times": 0.2}
RATE, ENTRIES = 1_000, 10  # records and entries a second
MAKING_NS = 100_000  # for each record, at most
REST = 240  # seconds that all but the look-ups may take
WORD = "zyzzyva"
_ready: Any = None
DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--hours", type=int, default=168)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with servers() as bench:
        dsn = bench.new_store()
        seconds = big_store.build(dsn, rows=options.rows, hours=options.hours)
        if not options.json:
            print(f"built {options.rows:,} rows over {options.hours} hours in"
                  f" {seconds:.0f} s", flush=True)  # fmt: skip # one line
        with bench.collector(dsn):
            found = measure(bench, dsn, options.seconds)
        took, sizes = gin(dsn)
        found["GIN over words, again"] = spread(took)
    if options.json:
        print(json.dumps(found | sizes))
        return
    print("milliseconds          " + "".join(f"{k:>9}" for k in ("p50", "p99", "max")))
    for name, values in found.items():
        print(f"{name:<22}" + "".join(f"{value:9.1f}" for value in values))
    print(", ".join(f"{name} {value:.1f}" for name, value in sizes.items()))


def measure(bench: Servers, dsn: str, seconds: float) -> dict[str, list[float]]:
    """Ask everything once rows come in; median, 99th percentile and maximum."""
    # A process of its own: in a thread, making records would hold up the readers.
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    ingest = context.Process(
        target=fill, args=[bench.valkey.url, 2 * seconds + REST, begun], daemon=True
    )
    ingest.start()
    assert begun.wait(600), "nothing is added"
    try:
        took = {name: spread(each) for name, each in look_ups(bench, dsn, seconds)}
        plant(bench, dsn)
        return {
            **took,
            "rare word, first": spread(asyncio.run(first_words(bench, dsn))),
            "rare word, again": spread(asyncio.run(words(bench, dsn, 20))),
            "scan of the day": spread(scans(dsn, 2)),
        }
    finally:
        ingest.terminate()
        ingest.join()


def fill(url: str, seconds: float, begun: Any) -> None:
    """Add records of now at a steady rate, for *seconds* or until terminated.

    They are made before that, each entry for the moment at which it is added, and the
    first sets *begun*: to think of lines takes more than an application's part.
    """
    count = int(seconds * RATE)
    start, step = time.time_ns() + count * MAKING_NS, 1_000_000_000 // ENTRIES
    clock = itertools.count(start, step).__next__
    entries = list(batches(count, size=RATE // ENTRIES, seed=4711, clock=clock))
    producer = queue.Producer(url)
    for number, entry in enumerate(entries):
        time.sleep(max(0, start + number * step - time.time_ns()) / 1e9)
        producer.admit(entry)
        begun.set()


def traces(dsn: str) -> list[str]:
    """Trace ids from all over the store."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT trace_id FROM trace_index TABLESAMPLE BERNOULLI (2)"
        ).fetchall()
    found = [trace_id.hex for (trace_id,) in rows]
    random.Random(1).shuffle(found)
    return found


def one_of_each_hour(dsn: str) -> list[str]:
    """A trace of each partition of logs."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT DISTINCT ON (date_trunc('hour', first)) trace_id FROM trace_index"
            " ORDER BY date_trunc('hour', first), trace_id"
        ).fetchall()
    return [trace_id.hex for (trace_id,) in rows]


def look_ups(bench: Servers, dsn: str, seconds: float) -> list[tuple[str, list[float]]]:
    """Look up traces from many readers; what each took, the first ones apart.

    Each reader is a process, as agents and people are: within one, they would wait for
    each other more than for the store.
    """
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(READERS)
    every, ids = one_of_each_hour(dsn), traces(dsn)
    with ProcessPoolExecutor(READERS, context, _share, (ready,)) as readers:
        shares = [ids[number::READERS] for number in range(READERS)]
        asked = [
            readers.submit(look_up, dsn, bench.valkey.url, every, share, seconds)
            for share in shares
        ]
        found = [one.result() for one in asked]
    names = ["first of a partition", *(f"by id, {pause}" for pause in PAUSES)]
    return [
        (name, [each for one in found for each in one[place]])
        for place, name in enumerate(names)
    ]


def _share(ready: Any) -> None:
    """Keep what a reader shares with the others; it can be given at its start alone."""
    global _ready
    _ready = ready


def look_up(
    dsn: str, url: str, every: list[str], ids: list[str], seconds: float
) -> list[list[float]]:
    """Be one reader; milliseconds, once for *every*, then for any of *ids*."""
    return asyncio.run(_look_up(dsn, url, every, itertools.cycle(ids), seconds))


async def _look_up(
    dsn: str, url: str, every: list[str], ids: Iterator[str], seconds: float
) -> list[list[float]]:
    first: list[float] = []
    found = [first]
    async with query.Reader(dsn, url) as reader:

        async def ask(trace_id: str) -> float:
            began = time.perf_counter()
            answer = await query.trace(reader, query.parse(trace_id=trace_id))
            assert answer.page.lines
            return (time.perf_counter() - began) * 1000

        await asyncio.to_thread(_ready.wait)
        for trace_id in random.sample(every, len(every)):
            first.append(await ask(trace_id))
            await asyncio.sleep(random.uniform(0, 0.1))
        for pause in PAUSES.values():
            took: list[float] = []
            await asyncio.to_thread(_ready.wait)
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))
                took.append(await ask(next(ids)))
            found.append(took)
    return found


def plant(bench: Servers, dsn: str) -> None:
    """Have a hundred lines with a rare word stored, over the last day."""
    producer = queue.Producer(bench.valkey.url)
    now, day = time.time_ns(), 24 * big_store.HOUR_NS
    for number in range(100):
        moment = now - day * number // 101
        (entry,) = batches(1, seed=number, clock=iter([moment]).__next__)
        producer.admit(with_word(entry))
    producer.close()
    while stored(dsn) < 100:
        time.sleep(0.1)


def with_word(entry: queue.Entry) -> queue.Entry:
    """The same entry, its one line about the word."""
    request = ExportLogsServiceRequest.FromString(entry.payload)
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    record.body.string_value = f"the {WORD} was seen at {record.time_unix_nano}"
    return queue.Entry(entry.id, entry.signal, 1, request.SerializeToString())


def stored(dsn: str) -> int:
    """How many lines with the word are there; by the day's rows, without filters."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT count(*) FROM logs WHERE time > now() - interval '25 h'"
            " AND ingested_at > now() - interval '10 min' AND body LIKE %s",
            [f"%{WORD}%"],
        ).fetchone()
    assert row is not None
    return int(row[0])


async def words(bench: Servers, dsn: str, times: int) -> list[float]:
    """Ask for the word over the last day."""
    took = []
    async with query.Reader(dsn, bench.valkey.url) as reader:
        await query.logs(reader, query.parse(since="-1m"), limit=1)  # connects
        for _ in range(times):
            filters = query.parse(search=WORD, since="-1d")
            began = time.perf_counter()
            page = await query.logs(reader, filters, limit=200)
            took.append((time.perf_counter() - began) * 1000)
            assert len(page.lines) == 100, len(page.lines)
    return took


async def first_words(bench: Servers, dsn: str) -> list[float]:
    """Ask once, with no file in the system's cache where it lets us."""
    if os.access(DROP_CACHES, os.W_OK):
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        os.sync()
        with contextlib.suppress(OSError):  # a container's root may not
            DROP_CACHES.write_text("3")
    return await words(bench, dsn, 1)


def scans(dsn: str, times: int) -> list[float]:
    """Scan the last day's rows for the word."""
    took = []
    since = datetime.now(UTC) - timedelta(days=1)
    statement: Any = (
        "SELECT time, body FROM logs WHERE time >= %s AND body ~* %s"
        " ORDER BY time DESC LIMIT 200"
    )
    with psycopg.connect(dsn) as connection:
        for _ in range(times):
            began = time.perf_counter()
            rows = connection.execute(statement, [since, rf"\m{WORD}\M"]).fetchall()
            took.append((time.perf_counter() - began) * 1000)
            assert len(rows) == 100
    return took


def gin(dsn: str) -> tuple[list[float], dict[str, float]]:
    """Index the words of the last day; what asking took, and bytes and time a row."""
    since = datetime.now(UTC) - timedelta(days=1)
    words = "to_tsvector('simple', body)"
    statement: Any = (
        f"SELECT time, body FROM logs WHERE time >= %s AND {words} @@ %s::tsquery"
        " ORDER BY time DESC LIMIT 200"
    )
    took, size, rows, filters = [], 0, 0, 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        parts = connection.execute(
            "SELECT lower, name FROM partitions WHERE parent = 'logs'"
            " AND upper > %s AND lower <= now()",
            [since],
        ).fetchall()
        began = time.perf_counter()
        for _, name in parts:
            connection.execute(f"CREATE INDEX {name}_gin ON {name} USING gin ({words})")
        building = time.perf_counter() - began
        for _, name in parts:  # else the planner knows nothing of the index's words
            connection.execute(f"ANALYZE {name}")
        for lower, name in parts:
            counted: Any = (
                f"SELECT count(*), pg_relation_size('{name}_gin'),"
                " (SELECT sum(pg_total_relation_size(f.name::regclass)) FROM"
                " partitions AS f WHERE f.parent = 'word_filters' AND f.lower = %s)"
                f" FROM {name}"
            )
            found = connection.execute(counted, [lower]).fetchone()
            assert found is not None
            rows, size, filters = rows + found[0], size + found[1], filters + found[2]
        for _ in range(20):
            began = time.perf_counter()
            assert len(connection.execute(statement, [since, WORD]).fetchall()) == 100
            took.append((time.perf_counter() - began) * 1000)
    return took, {
        "bytes a row, GIN": size / rows,
        "bytes a row, filters": float(filters) / rows,
        "GIN's building, us a row": building / rows * 1e6,
    }


def spread(took: list[float]) -> list[float]:
    """Median, 99th percentile and maximum."""
    took = sorted(took)
    return [statistics.median(took), took[int(len(took) * 0.99)], took[-1]]


if __name__ == "__main__":
    main()
