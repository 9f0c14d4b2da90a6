"""What becomes of lines that a Node.js service logs as fast as it can.

    python benchmarks/node_emit.py [--lines 20000] [--rounds 3]

pino and winston, each with this project's exporter and with OpenTelemetry's own for the
console: the 99th percentile of the event loop's delay, medians of alternating rounds.
The console is /dev/null. At the end every line is looked for in the store, or in the
counters of what was dropped. Needs Node.js and npm.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import redis
from servers import Servers, servers

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fix_node import PACKAGE, installed, node_program

from godot_otel import queue

APPLICATION = Path(__file__).with_suffix(".js")
LIBRARIES, EXPORTERS = ("pino", "winston"), ("console", "godot")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    installed(PACKAGE)
    print(f"{options.lines} lines; milliseconds of the event loop's delay")
    print(f"{'':<16}{'p99':>8}{'max':>8}{'lines/s':>9}  stored, dropped")
    with servers() as started:
        for library in LIBRARIES:
            compare(started, library, options.lines, options.rounds)


def compare(started: Servers, library: str, lines: int, rounds: int) -> None:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in EXPORTERS}
    for _ in range(rounds):
        for name in EXPORTERS:
            found[name].append(run(started, library, name, lines))
    stored, dropped = store(started, library)
    for name in EXPORTERS:
        p99, most, seconds = (
            statistics.median(one[key] for one in found[name])
            for key in ("p99", "max", "seconds")
        )
        became = f"{stored}, {dropped}" if name == "godot" else ""
        print(f"{library + ', ' + name:<16}{p99:8.1f}{most:8.1f}"
              f"{lines / seconds:9.0f}  {became}")  # fmt: skip # a row
    if stored + dropped != lines * rounds:
        print("  LINES ARE MISSING")


def run(started: Servers, library: str, exporter: str, lines: int) -> dict[str, float]:
    environ = os.environ | {"GODOT_REDIS_URL": started.valkey.url}
    done = subprocess.run(
        [node_program(), APPLICATION, library, exporter, str(lines)],
        env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True,
    )  # fmt: skip # what, and how
    figures: dict[str, float] = json.loads(done.stderr.splitlines()[-1])
    return figures


def store(started: Servers, library: str) -> tuple[int, int]:
    """Drain the queue; return how many lines are stored, each once, and dropped."""
    dsn = started.new_store()
    with (
        started.collector(dsn),
        redis.Redis.from_url(started.valkey.url) as client,
    ):
        while client.xlen(queue.stream_key()):
            time.sleep(0.1)
    with psycopg.connect(dsn) as connection:
        rows, distinct = connection.execute(
            "SELECT count(*), count(DISTINCT (resource_id, attributes ->> 'number'))"
            " FROM logs WHERE service = %s",
            [library],
        ).fetchone()
        dropped = connection.execute(
            "SELECT sum(value::int) FROM emitters, jsonb_each_text(counters->'dropped')"
        ).fetchone()[0]
    assert rows == distinct, f"{rows - distinct} lines are stored twice"
    return distinct, dropped or 0


if __name__ == "__main__":
    main()
