"""Whatever happens to collectors, every accepted record is stored once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from fix_otlp import entry
from fix_processes import CollectorProcess, count, wait_until

from godot_otel import queue
from godot_otel.errors import QueueFullError

EMIT = Path(__file__).with_name("emit.py")
PROCESSES, EACH = 4, 25_000


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that end with the test, however it ends."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.mark.slow
def test_a_hundred_thousand_records_survive_three_killed_collectors(
    redis_url, store_dsn, producer, tmp_path, started
):
    client = producer._redis
    source = SmallQueue(tmp_path, redis_url, store_dsn, started)
    collector = source.collector()
    emitters = [
        subprocess.Popen(
            [sys.executable, EMIT, str(n * EACH), str(EACH)],
            env=os.environ
            | {
                "OTEL_EXPORTER_GODOT_ENDPOINT": redis_url,
                "OTEL_EXPORTER_GODOT_SPOOL_DIR": str(tmp_path / "spool"),
            },
        )
        for n in range(PROCESSES)
    ]
    started += emitters
    killed_with_pending = []
    for _ in range(3):
        before = count(store_dsn)
        wait_until(lambda b=before: count(store_dsn) > b, "rows before the next kill")
        pid = collector.pid
        wait_until(
            lambda p=pid: pending(client, p) > 0, "a moment with entries pending"
        )
        collector.kill()
        killed_with_pending.append(pending(client, pid))
        collector = source.collector()
    print("entries pending at each kill:", killed_with_pending)
    assert min(killed_with_pending) > 0
    assert [emitter.wait(180) for emitter in emitters] == [0] * PROCESSES
    twice = entry(["delivered twice, on purpose"])
    for _ in range(2):
        wait_until(lambda: admitted(producer, twice), "room in the queue")
    # 15 s until the dead consumers' entries are taken over, and then the rest.
    wait_until(lambda: client.xlen(queue.stream_key()) == 0, "the queue to drain", 120)
    assert collector.stop() == 0
    with psycopg.connect(store_dsn) as connection:
        numbers = connection.execute(
            "SELECT count(*), count(DISTINCT body), min(n), max(n) FROM (SELECT body,"
            " (attributes ->> 'number')::int AS n FROM logs WHERE logger = 'emit') AS e"
        ).fetchone()
        doubled = connection.execute(
            "SELECT count(*) FROM logs WHERE body = 'delivered twice, on purpose'"
        ).fetchone()
        counted = connection.execute("SELECT sum(n)::int FROM log_counts").fetchone()
    total = PROCESSES * EACH
    assert numbers == (total, total, 0, total - 1)
    assert doubled == (1,)
    assert counted == (total + 1,)
    assert "took over" in collector.log.read_text()
    assert "0 stored before" not in last_line(collector.log)


class SmallQueue:
    """Starts collectors on a queue so small that exporters feel its back-pressure."""

    def __init__(self, *arguments: Any) -> None:
        *self.arguments, self.started = arguments

    def collector(self) -> CollectorProcess:
        made = CollectorProcess(*self.arguments, GODOT_QUEUE_MAX_RECORDS="20000")
        self.started.append(made.process)
        return made


def pending(client: redis.Redis, pid: int) -> int:
    consumers = client.xinfo_consumers(queue.stream_key(), queue.GROUP)
    ours = f"-{pid}-".encode()
    return sum(row["pending"] for row in consumers if ours in row["name"])


def admitted(producer: queue.Producer, batch: queue.Entry) -> bool:
    try:
        producer.admit(batch)
    except QueueFullError:
        return False
    return True


def last_line(log: Path) -> str:
    return log.read_text().splitlines()[-1]
