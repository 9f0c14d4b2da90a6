"""Whatever happens to the queue, an application's records are stored, each once."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from fix_outages import OUTAGES, Application, durable_server, outage
from fix_processes import CollectorProcess, wait_until

from godot_otel import queue
from godot_otel.stack.valkey import Valkey

CALLS = 5_000
CLI = Path(sys.executable).with_name("godot-otel")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Valkey]:
    """A durable server of this test alone."""
    server = durable_server(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def environ(tmp_path: Path, own_server: Valkey) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_GODOT_ENDPOINT": own_server.url,
        "OTEL_EXPORTER_GODOT_SPOOL_DIR": str(tmp_path / "spool"),
        "GODOT_DATA_DIR": str(tmp_path / "data"),
        "PAUSE_EVERY": "40",
    }


def store_all(folder: Path, server: Valkey, dsn: str) -> CollectorProcess:
    """Replay what is on disk, as an operator would, and store what is in the queue."""
    environ = {
        "OTEL_EXPORTER_GODOT_ENDPOINT": server.url,
        "OTEL_EXPORTER_GODOT_SPOOL_DIR": str(folder / "spool"),
    }
    replay = [CLI, "spool", "replay"]
    subprocess.run(replay, env=os.environ | environ, check=True, capture_output=True)
    collector = CollectorProcess(folder, server.url, dsn)
    with redis.Redis.from_url(server.url) as client:
        wait_until(lambda: client.xlen(queue.stream_key()) == 0, "the queue to drain")
    assert collector.stop() == 0
    return collector


def on_disk(folder: Path) -> int:
    return len(list((folder / "spool").glob("*.batch")))


def numbers(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT (attributes ->> 'number')::int FROM logs"
            " WHERE logger = 'application' ORDER BY 1"
        ).fetchall()
    return [row[0] for row in rows]


def counters(dsn: str) -> dict[str, int]:
    with psycopg.connect(dsn) as connection:
        (found,) = connection.execute("SELECT counters FROM emitters").fetchone()
    return found


@pytest.mark.slow
def test_outages_one_after_the_other_cost_no_record_and_double_none(
    own_server, environ, tmp_path, store_dsn
):
    application = Application(tmp_path, 1_000_000, environ=environ)
    application.wait_ready()
    for name in OUTAGES:
        with outage(name, own_server):
            wait_until(lambda: on_disk(tmp_path) > 1, f"batches on disk while {name}")
        wait_until(lambda: on_disk(tmp_path) == 0, f"an empty spool after {name}")
    application.stop()
    result = application.wait()
    store_all(tmp_path, own_server, store_dsn)
    calls = result["calls"]
    assert numbers(store_dsn) == list(range(calls))
    assert counters(store_dsn)["emitted"] == calls
    assert counters(store_dsn)["dropped"] == {}
    assert len(result["stderr"].splitlines()) <= 6, result["stderr"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["killed", "stalled"])
def test_an_outage_that_outlives_the_application_costs_no_record(
    name, own_server, environ, tmp_path, store_dsn
):
    application = Application(tmp_path, CALLS, environ=environ)
    application.wait_ready()
    with outage(name, own_server):
        application.wait()
    store_all(tmp_path, own_server, store_dsn)
    assert numbers(store_dsn) == list(range(CALLS))


def test_an_address_where_nothing_listens_at_first_costs_no_record(
    own_server, environ, tmp_path, store_dsn
):
    own_server.stop()
    application = Application(tmp_path, CALLS, environ=environ)
    application.wait_ready()
    own_server.start()
    application.wait()
    store_all(tmp_path, own_server, store_dsn)
    assert numbers(store_dsn) == list(range(CALLS))


def test_of_a_killed_application_only_its_memory_is_missing(
    own_server, environ, tmp_path, store_dsn
):
    application = Application(tmp_path, 1_000_000, environ=environ)
    application.wait_ready()
    with redis.Redis.from_url(own_server.url) as client:
        wait_until(lambda: client.xlen(queue.stream_key()) > 20, "some batches")
    application.process.kill()
    application.process.communicate()
    store_all(tmp_path, own_server, store_dsn)
    stored = numbers(store_dsn)
    assert stored == list(range(len(stored)))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_counted_and_printed_and_raises_nothing(
    own_server, environ, tmp_path, store_dsn
):
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(spool)],
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("this machine does not allow mounting a small file system")
    try:
        application = Application(tmp_path, CALLS, environ=environ)
        application.wait_ready()
        with outage("killed", own_server):
            result = application.wait()
        store_all(tmp_path, own_server, store_dsn)
    finally:
        subprocess.run(["umount", str(spool)], check=True)
    printed = [
        json.loads(line)
        for line in result["stderr"].splitlines()
        if line.startswith("{")
    ]
    stored = numbers(store_dsn)
    told = [line["attributes"]["number"] for line in printed]
    assert printed
    assert sorted(stored + told) == list(range(CALLS))
    assert re.search("godot-otel: .*spool.*No space left", result["stderr"])
