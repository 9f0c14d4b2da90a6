"""A reader by seq beside several collectors misses nothing and repeats nothing."""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from fix_otlp import entry
from fix_processes import CollectorProcess, count

from godot_otel import query, queue

BATCHES, EACH = 1500, 20


@pytest.fixture
def collectors(tmp_path, redis_url, store_dsn) -> Iterator[list[CollectorProcess]]:
    made = [CollectorProcess(tmp_path, redis_url, store_dsn) for _ in range(2)]
    yield made
    for collector in made:
        collector.process.send_signal(signal.SIGCONT)
        assert collector.stop() == 0


@pytest.mark.slow
async def test_a_reader_by_seq_sees_each_row_once_while_two_collectors_commit(
    redis_url, store_dsn, collectors
):
    done = threading.Event()
    helpers = [
        threading.Thread(target=fill, args=[redis_url]),
        # A collector stopped between taking its transaction id and its commit lets the
        # other one commit greater ids first.
        threading.Thread(target=interrupt, args=[collectors, done]),
    ]
    naive = NaiveReader(store_dsn)
    for helper in helpers:
        helper.start()
    seen: list[int] = []
    seq, stop_at = 0, time.monotonic() + 120
    async with query.Reader(store_dsn) as reader:
        while len(seen) < BATCHES * EACH and time.monotonic() < stop_at:
            tail = await query.logs_after(reader, seq, limit=500)
            seen += [line.seq for line in tail.lines]
            seq = tail.seq
            naive.read()
            await asyncio.sleep(0.005)
    done.set()
    naive.connection.close()
    for helper in helpers:
        helper.join()
    assert count(store_dsn) == BATCHES * EACH
    missed = BATCHES * EACH - naive.seen
    print(f"rows that a reader without the horizon missed: {missed}")
    assert missed > 0, "nothing was committed out of order: this run proves nothing"
    assert len(seen) == BATCHES * EACH
    assert seen == sorted(set(seen))


class NaiveReader:
    """Goes on after the greatest seq it has seen, as one would with a sequence."""

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.seen = self.last = 0

    def read(self) -> None:
        row = self.connection.execute(
            "SELECT count(*), coalesce(max(seq), %s) FROM logs WHERE seq > %s",
            [self.last, self.last],
        ).fetchone()
        assert row is not None
        self.seen += row[0]
        self.last = row[1]


def fill(redis_url: str) -> None:
    producer = queue.Producer(redis_url)
    for number in range(BATCHES):
        producer.admit(entry([f"{number}.{i}" for i in range(EACH)]))
        time.sleep(0.002)
    producer.close()


def interrupt(collectors: list[CollectorProcess], done: threading.Event) -> None:
    for turn in range(10_000):
        victim = collectors[turn % 2].process
        victim.send_signal(signal.SIGSTOP)
        time.sleep(0.05)
        victim.send_signal(signal.SIGCONT)
        if done.wait(0.03):
            return
