"""How long log calls take while the queue's server has a bad time, and what is lost.

    python benchmarks/outages.py [--calls 300000] [OUTAGE ...]

For each outage an application logs as fast as it can, beside the same loop with plain
``logging`` right before: the machine's own hiccups show there. The outage begins after
the first record has arrived and lasts two seconds. At the end every record is looked
for in the store. The first call is reported alone: what it imports blocks it once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import redis
from servers import Servers, servers

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fix_outages import OUTAGES, Application, durable_server, outage

from godot_otel import queue

OUTAGE_SECONDS = 2.0
CLI = Path(sys.executable).with_name("godot-otel")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=300_000)
    parser.add_argument("outages", nargs="*", default=["none", "absent", *OUTAGES])
    options = parser.parse_args()
    print(f"{options.calls} calls each; milliseconds, beside plain logging's")
    print(f"{'outage':<14}{'first':>7}{'median':>8}{'p99.99':>8}{'(plain)':>8}"
          f"{'max':>8}{'(plain)':>8}  stored, dropped, on disk")  # fmt: skip # its head
    with servers() as started:
        for name in options.outages:
            print(f"{name:<14}", end="", flush=True)
            print(one(started, name, options.calls))


def one(started: Servers, name: str, calls: int) -> str:
    """Run plain, then ours through the outage; return the table's row."""
    folder = started.folder / name.replace(" ", "-")
    folder.mkdir()
    plain_application = Application(folder, calls, environ={}, plain=True)
    plain = plain_application.wait()
    server = durable_server(folder / "valkey")
    server.start()
    environ = {
        "OTEL_EXPORTER_GODOT_ENDPOINT": server.url,
        "OTEL_EXPORTER_GODOT_SPOOL_DIR": str(folder / "spool"),
    }
    try:
        if name == "absent":
            server.stop()
        application = Application(folder, calls, environ=environ)
        application.wait_ready()
        if name in OUTAGES:
            with outage(name, server):
                time.sleep(OUTAGE_SECONDS)
        elif name == "absent":
            time.sleep(OUTAGE_SECONDS)
            server.start()
        ours = application.wait()
        spooled = len(list((folder / "spool").glob("*.batch")))
        stored, dropped = store(started, server, environ)
    finally:
        server.stop()
    lost = "" if stored == calls - dropped else "  RECORDS ARE MISSING"
    return (
        f"{ours['first'] * 1e3:7.1f}{ours['median'] * 1e3:8.3f}"
        f"{ours['p9999'] * 1e3:8.2f}{plain['p9999'] * 1e3:8.2f}"
        f"{ours['max'] * 1e3:8.1f}{plain['max'] * 1e3:8.1f}"
        f"  {stored}, {dropped}, {spooled}{lost}"
    )


def store(started: Servers, server: object, environ: dict[str, str]) -> tuple[int, int]:
    """Replay, drain, and return how many distinct records are stored, and dropped."""
    started.valkey, before = server, started.valkey
    dsn = started.new_store()
    replay = [CLI, "spool", "replay"]
    subprocess.run(replay, env=os.environ | environ, check=True, capture_output=True)
    with started.collector(dsn), redis.Redis.from_url(server.url) as client:
        while client.xlen(queue.stream_key()):
            time.sleep(0.1)
    started.valkey = before
    with psycopg.connect(dsn) as connection:
        rows, distinct = connection.execute(
            "SELECT count(*), count(DISTINCT attributes ->> 'number') FROM logs"
            " WHERE logger = 'application'"
        ).fetchone()
        dropped = connection.execute(
            "SELECT sum(value::int) FROM emitters, jsonb_each_text(counters->'dropped')"
        ).fetchone()[0]
    assert rows == distinct, f"{rows - distinct} records are stored twice"
    return distinct, dropped or 0


if __name__ == "__main__":
    main()
