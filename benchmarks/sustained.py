"""A steady stream for minutes: does the backlog grow, and what does a collector need?

    python benchmarks/sustained.py [--minutes 10] [--rate N] [--json]

Without --rate it is four times what the original design stored a second just before
(``original.py``). Records' time runs six times as fast as the clock's, so that ten
minutes cross partitions of an hour; older partitions are there, which maintenance
closes, packs and drops meanwhile: how many is printed too. Producer, collector and
servers share the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

import big_store
import psycopg
import redis
from generator import batches
from original import original
from servers import Servers, memory, servers

from godot_otel import queue

SPEED = 6
OLD_ROWS, OLD_HOURS = 600_000, 60
RETENTION_DAYS = 2
PRODUCER = "produce"
PARTITIONS = (
    "SELECT inhrelid::regclass::text FROM pg_inherits"
    " WHERE inhparent = 'logs'::regclass"
)


@dataclass
class Samples:
    """What was seen each second."""

    backlog: list[int] = field(default_factory=list)
    """Records in the queue."""
    memory: list[float] = field(default_factory=list)
    """The collector's memory, both its processes, in MB."""
    maintained: tuple[int, int, int] = (0, 0, 0)
    """Partitions of lines that were closed, packed and dropped meanwhile."""


def produce(url: str, rate: int, seconds: float) -> None:
    """Admit records at *rate*; runs in a process of its own."""
    producer = queue.Producer(url, socket_timeout=30)
    began_ns, began = time.time_ns(), time.monotonic()

    def clock() -> int:
        passed = int((time.monotonic() - began) * 1e9)
        return began_ns - int(seconds * 1e9 * (SPEED - 1)) + passed * SPEED

    made = 0
    for entry in batches(int(rate * seconds), clock=clock):
        producer.admit(entry)
        made += entry.records
        ahead = made / rate - (time.monotonic() - began)
        if ahead > 0:
            time.sleep(ahead)
    producer.close()


def run(bench: Servers, rate: int, seconds: float) -> tuple[Samples, int, float]:
    """Return samples, rows stored and how long it took until the queue was empty."""
    dsn = bench.new_store()
    big_store.build(dsn, rows=OLD_ROWS, hours=OLD_HOURS, closed=False)
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE settings SET retention_days = %s", [RETENTION_DAYS])
        old = [name for (name,) in connection.execute(PARTITIONS)]
    client = redis.Redis.from_url(bench.valkey.url)
    samples = Samples()
    with bench.collector(dsn) as collector:
        began = time.monotonic()
        producer = subprocess.Popen(
            [sys.executable, __file__, PRODUCER, bench.valkey.url, str(rate),
             str(seconds)],
        )  # fmt: skip # what to run
        while producer.poll() is None or client.xlen(queue.stream_key()):
            time.sleep(1)
            samples.backlog.append(int(client.hget(queue.meta_key(), "records") or 0))
            samples.memory.append(memory(collector.pid))
            if sys.stderr.isatty():
                print(f"\r  {len(samples.backlog)} s, backlog"
                      f" {samples.backlog[-1]:,} records \033[K", end="",
                      file=sys.stderr)  # fmt: skip # one line
        took = time.monotonic() - began
        assert producer.returncode == 0
    client.close()
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT sum(records) FROM batches"
            " WHERE stored_at > now() - make_interval(secs => %s)",
            [took + 5],
        ).fetchone()
        maintained = connection.execute(
            "SELECT count(closed_at), count(*) FILTER (WHERE packed_at > '-infinity')"
            " FROM partitions WHERE parent = 'logs'"
        ).fetchone()
        left = {name for (name,) in connection.execute(PARTITIONS)}
    assert row is not None
    assert maintained is not None
    samples.maintained = (*maintained, sum(name not in left for name in old))
    return samples, int(row[0]), took


def main() -> None:
    if sys.argv[1:2] == [PRODUCER]:
        produce(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with servers() as bench:
        theirs = original(bench, 20_000)
        rate = options.rate or round(4 * theirs)
        samples, stored, took = run(bench, rate, options.minutes * 60)
    half = len(samples.backlog) // 2
    result = {
        "original_rows_per_second": round(theirs),
        "offered_per_second": rate,
        "stored": stored,
        "stored_per_second": round(stored / took),
        "backlog_first_half": round(statistics.mean(samples.backlog[:half])),
        "backlog_second_half": round(statistics.mean(samples.backlog[half:])),
        "backlog_max": max(samples.backlog),
        "memory_median_mb": round(statistics.median(samples.memory)),
        "memory_max_mb": round(max(samples.memory)),
        **dict(zip(("closed", "packed", "dropped"), samples.maintained, strict=True)),
    }
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name.replace('_', ' '):<28}{value:>14,}")


if __name__ == "__main__":
    main()
