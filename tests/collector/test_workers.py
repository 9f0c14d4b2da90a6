"""``collect --workers N``: who dies is replaced, who is orphaned ends, all in order."""

import os
import re
import signal
import subprocess
import sys
import time

import psycopg
import pytest
from fix_otlp import entry
from fix_processes import CollectorProcess, count, wait_until

from godot_otel import queue
from godot_otel.stack import ports, processes, unprivileged


class Workers(CollectorProcess):
    """``godot-otel collect --workers 2``, ready when made: that is both of them."""

    arguments = ("--workers", "2")

    def ready(self) -> int:
        """How many have become ready so far."""
        return self.log.read_text().count('"worker_ready"')

    def workers(self) -> list[int]:
        """Those that run now, the oldest first."""
        shown = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True
        ).stdout
        rows = [line.split() for line in shown.splitlines()]
        return [
            int(pid)
            for pid, parent, stat in rows
            if int(parent) == self.pid and not stat.startswith("Z")
        ]


@pytest.fixture
def workers(tmp_path, redis_url, store_dsn):
    started = Workers(tmp_path, redis_url, store_dsn, GODOT_HTTP_PORT="0")
    pids = started.workers()
    yield started
    if started.process.poll() is None:
        pids += started.workers()
        started.kill()
    for pid in pids:
        processes.end_strangers(
            {pid: born} if (born := processes.birth(pid)) else {}, signal.SIGKILL, 5
        )


def pending(producer, pid: int) -> int:
    consumers = producer._redis.xinfo_consumers(queue.stream_key(), queue.GROUP)
    ours = f"-{pid}-".encode()
    return sum(row["pending"] for row in consumers if ours in row["name"])


def frozen_with_work(producer, pid: int) -> bool:
    """Stop a worker, at a moment when it holds something, or not at all."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.01)  # for an acknowledgement that was on its way
    if pending(producer, pid):
        return True
    os.kill(pid, signal.SIGCONT)
    return False


def drained(producer) -> bool:
    return producer._redis.xlen(queue.stream_key()) == 0


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_nothing_is_lost_twice(
    workers, producer, store_dsn
):
    admitted = 0
    for turn in range(2):
        victim = workers.workers()[0]
        while not frozen_with_work(producer, victim):
            producer.admit(entry([f"line {admitted}"]))
            admitted += 1
        os.kill(victim, signal.SIGKILL)
        assert pending(producer, victim), "it held something"
        wait_until(lambda n=turn: workers.ready() == 3 + n, "another worker", 15)
        assert victim not in workers.workers()
        assert len(workers.workers()) == 2
    # 15 s until what the dead ones held is taken over.
    wait_until(lambda: drained(producer), "the drain", 40)
    assert workers.stop() == 0
    with psycopg.connect(store_dsn) as connection:
        found = connection.execute(
            "SELECT count(*), count(DISTINCT body) FROM logs"
        ).fetchone()
    assert found == (admitted, admitted)
    said = workers.log.read_text()
    assert "was ended by SIGKILL; next try in 1 s" in said
    assert said.count("stopped: ") == 2


def test_when_the_parent_is_killed_its_workers_end_by_themselves(workers):
    pids = workers.workers()
    sockets = unprivileged.short_folder(f"godot-otel-collect-{workers.pid}")
    assert sockets.is_dir()
    urls = re.findall(r"http://127.0.0.1:\d+/readyz", workers.log.read_text())
    assert len(set(urls)) == len(pids) == 2, "each has a health port of its own"
    workers.kill()
    wait_until(
        lambda: all(processes.birth(pid) is None for pid in pids), "their end", 5
    )
    assert workers.log.read_text().count("stopped: ") == 2
    assert not sockets.exists()


def test_a_schema_that_does_not_fit_ends_them_all_with_status_2(
    tmp_path, redis_url, postgres
):
    environ = os.environ | {
        "GODOT_REDIS_URL": redis_url,
        "GODOT_POSTGRES_DSN": postgres.dsn("postgres"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "godot_otel", "collect", "--workers", "2"],
        env=environ, capture_output=True, text=True, timeout=30,
    )  # fmt: skip # what, and how
    assert done.returncode == 2
    assert "the store has no schema yet: run `godot-otel migrate`." in done.stderr
    assert re.search(r"collector \d cannot go on", done.stderr)
    assert "Traceback" not in done.stderr


def test_health_ports_of_workers_follow_one_another():
    given = {"GODOT_HTTP_PORT": "9464", "OTHER": "kept"}
    assert ports.of_collector(1, given) == given
    assert ports.of_collector(3, given) == given | {"GODOT_HTTP_PORT": "9466"}
    anywhere = {"GODOT_HTTP_PORT": "0"}
    assert ports.of_collector(3, anywhere) == anywhere
    assert ports.of_collector(3, {}) == {}


def test_a_collector_started_as_an_application_never_exports_its_own_lines(
    tmp_path, redis_url, store_dsn, producer
):
    started = subprocess.Popen(
        [sys.executable, "-m", "godot_otel", "run", "--", sys.executable, "-m",
         "godot_otel", "collect"],
        env=os.environ | {
            "GODOT_REDIS_URL": redis_url, "GODOT_POSTGRES_DSN": store_dsn,
            "GODOT_DATA_DIR": str(tmp_path),
        },
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip # what, and how
    try:
        producer.admit(entry(["a line of an application"]))
        wait_until(lambda: count(store_dsn) >= 1, "the line")
        producer.admit(entry(["another"]))
        wait_until(lambda: count(store_dsn) >= 2, "the other line")
    finally:
        started.send_signal(signal.SIGTERM)
        out, err = started.communicate(timeout=20)
    assert started.returncode == 0, err
    assert '"action": "stopped"' in out
    with psycopg.connect(store_dsn) as connection:
        loggers = connection.execute("SELECT DISTINCT logger FROM logs").fetchall()
    assert loggers == [("shop.cart",)]
    assert drained(producer)
