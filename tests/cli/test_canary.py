"""``godot-otel canary``: silent on a sound pipeline, and never about a broken one."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from fix_processes import CollectorProcess, wait_until

from godot_otel import queue
from godot_otel.canary.book import Book


class Canary:
    """The command as a process of its own."""

    def __init__(self, environ: dict[str, str], *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "godot_otel", "canary", "--json", *arguments],
            env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip # one command

    def end(self) -> tuple[int, dict, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, json.loads(out.splitlines()[-1]), err


@pytest.fixture
def environ(redis_url, store_dsn, tmp_path) -> dict[str, str]:
    return os.environ | {
        "GODOT_POSTGRES_DSN": store_dsn,
        "GODOT_REDIS_URL": redis_url,
        "GODOT_DATA_DIR": str(tmp_path),
    }


@pytest.fixture
def collect(tmp_path, redis_url, store_dsn) -> Iterator:
    made: list[CollectorProcess] = []

    def start() -> CollectorProcess:
        made.append(CollectorProcess(tmp_path, redis_url, store_dsn))
        return made[-1]

    yield start
    for one in made:
        one.process.send_signal(signal.SIGCONT)
        assert one.stop() == 0


def test_on_a_sound_pipeline_nothing_is_missing_or_doubled(environ, collect):
    collect()
    forever = Canary(environ, "--forever", "--rate", "5")
    status, counts, err = Canary(environ, "--rate", "50", "--seconds", "1").end()
    assert (status, err) == (0, "")
    assert 0 < counts["p50_ms"] <= counts["p99_ms"] <= counts["max_ms"]
    expected = {"sent": 50, "stored": 50, "missing": 0, "doubled": 0, "late": 0}
    assert counts | expected == counts
    assert counts["waiting"] == 0
    forever.process.send_signal(signal.SIGINT)
    status, counts, err = forever.end()
    assert (status, err) == (0, "")
    assert counts["stored"] > 0


def test_a_planted_loss_and_a_planted_double_are_found(environ, producer, collect):
    collector = collect()
    collector.process.send_signal(signal.SIGSTOP)
    canary = Canary(environ, "--rate", "20", "--seconds", "2", "--grace", "4")
    client = producer._redis
    stream = queue.stream_key()
    wait_until(lambda: client.xlen(stream) >= 4, "a few batches")
    (_, first), (gone, lost), *_ = client.xrange(stream)
    client.xdel(stream, gone)
    again = queue.Entry(queue.batch_id(), b"logs", int(first[b"records"]), b"")
    producer.admit(dataclasses.replace(again, payload=first[b"payload"]))
    collector.process.send_signal(signal.SIGCONT)
    status, counts, err = canary.end()
    assert status == 1
    assert counts["missing"] == int(lost[b"records"]) > 0
    assert counts["doubled"] == again.records > 0
    assert counts["stored"] == counts["sent"] - counts["missing"]
    assert "neither stored nor waiting" in err


def test_what_waits_or_cannot_be_asked_about_is_said_and_not_called_missing(
    environ, tmp_path
):
    away = "u:geheim-7731@127.0.0.1:1"
    expected = {
        " records wait in the queue\n": {},
        "store unreachable since": {"GODOT_POSTGRES_DSN": f"postgresql://{away}/x"},
        "the queue cannot be asked": {"GODOT_REDIS_URL": f"redis://{away}/0"},
    }
    started = [
        Canary(
            environ | given | {"GODOT_DATA_DIR": str(tmp_path / str(number))},
            "--rate", "20", "--seconds", "0.5", "--grace", "2",
        )
        for number, given in enumerate(expected.values())
    ]  # fmt: skip # three at once
    for said, canary in zip(expected, started, strict=True):
        status, counts, err = canary.end()
        assert status == 1
        assert (counts["sent"], counts["waiting"], counts["missing"]) == (10, 10, 0)
        assert said in err
        assert "10 lines are not there yet" in err
        assert "geheim-7731" not in err


def test_without_a_queue_it_says_what_starts_one(environ):
    del environ["GODOT_REDIS_URL"]
    process = Canary(environ).process
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "`godot-otel up`" in err


def test_a_line_that_comes_after_its_time_is_late_and_missing_no_more():
    book = Book(grace=10)
    for number in range(3):
        book.send(number, now=100)
    book.read([(0, 7)], now=101)
    book.settle(asked=109, waits_since=math.inf)
    assert not book.missing
    book.settle(asked=111, waits_since=90)
    book.settle(asked=111, waits_since=None)
    assert not book.missing, "something of its time waits, or nobody knows"
    book.settle(asked=111, waits_since=105)
    assert set(book.missing) == {1, 2}
    book.read([(0, 7), (1, 8)], now=112)
    assert (book.stored, book.late, set(book.missing)) == (2, 1, {2})
    assert not book.doubled
    book.read([(0, 9)], now=113)
    assert book.doubled == {0}
