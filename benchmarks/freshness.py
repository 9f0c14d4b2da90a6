"""From a log call to its line in a query's answer, default settings, milliseconds.

    python benchmarks/freshness.py [--rate 5000] [--seconds 30] [--runs 3]
                                   [--maintenance] [--json]

An application logs at a steady rate under ``godot-otel run``, a collector stores, and
a reader asks for what is new every 5 ms, all on the same machine: what is measured is
the time of the record, as the application took it, until an answer has it. With
--maintenance each run is followed by one in a store whose 40 old partitions are closed
or dropped meanwhile.
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

import big_store
import psycopg
from servers import Servers, servers

CLI = Path(sys.executable).with_name("godot-otel")
POLL_SECONDS = 0.005
WARM_UP_SECONDS = 3
OLD_ROWS, OLD_HOURS = 1_000_000, 40
# Ten times a hundredth of a second's records: as steady as a web server's.
APPLICATION = """
import logging, sys, time
rate, seconds = int(sys.argv[1]), float(sys.argv[2])
log = logging.getLogger("shop.orders")
began = time.monotonic()
made = 0
while (passed := time.monotonic() - began) < seconds:
    while made < passed * rate:
        made += 1
        log.info("order %s of %s was charged", made, "bob",
                 extra={"user.id": made % 50_000, "http.route": "/cart",
                        "cached": made % 2 == 0, "region": "eu-1"})
    time.sleep(0.001)
print(made)
"""
LEFT = "SELECT count(*), count(closed_at) FROM partitions"
NEW = (
    "SELECT seq, extract(epoch FROM time)::float8 FROM logs"
    " WHERE seq > %s AND time > now() - interval '10 s' ORDER BY seq"
)


def run(
    bench: Servers, rate: int, seconds: float, *, maintained: bool = False
) -> list[float]:
    """Return how long each record took, those of the first seconds left out."""
    dsn = bench.new_store()
    if maintained:
        big_store.build(dsn, rows=OLD_ROWS, hours=OLD_HOURS, closed=False)
        with psycopg.connect(dsn) as connection:
            connection.execute("UPDATE settings SET retention_days = 1")
            work = connection.execute(LEFT).fetchone()
    with bench.collector(dsn), psycopg.connect(dsn, autocommit=True) as connection:
        application = subprocess.Popen(
            [CLI, "run", "--", sys.executable, "-c", APPLICATION,
             str(rate), str(seconds)],
            env=os.environ | {"OTEL_EXPORTER_GODOT_ENDPOINT": bench.valkey.url},
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip # what, and how
        found: list[tuple[float, float]] = []
        newest = 0
        ended: float | None = None
        while ended is None or time.monotonic() < ended + 3:
            time.sleep(POLL_SECONDS)
            rows = connection.execute(NEW, [newest]).fetchall()
            now = time.time()
            if rows:
                newest = rows[-1][0]
                found += ((made, now - made) for _, made in rows)
            if ended is None and application.poll() is not None:
                ended = time.monotonic()
    if maintained:
        with psycopg.connect(dsn) as connection:
            assert work != connection.execute(LEFT).fetchone(), "nothing was maintained"
    assert application.stdout is not None
    assert len(found) == int(application.stdout.read()), "lines are missing"
    first = min(made for made, _ in found) + WARM_UP_SECONDS
    return [took * 1000 for made, took in found if made >= first]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--maintenance", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kinds = [False, True] if options.maintenance else [False]
    results: dict[bool, list[dict[str, float]]] = {kind: [] for kind in kinds}
    with servers() as bench:
        for number in range(options.runs):
            for kind in kinds:
                took = run(bench, options.rate, options.seconds, maintained=kind)
                results[kind].append(spread(took))
                if not options.json:
                    shown = _shown(results[kind][-1])
                    print(f"run {number + 1}{_NAMES[kind]}: {shown}", flush=True)
    found = {
        kind: {
            key: round(statistics.median(one[key] for one in results[kind]))
            for key in results[kind][0]
        }
        for kind in kinds
    }
    if options.json:
        beside = {f"maintained_{k}": v for k, v in found.get(True, {}).items()}
        print(json.dumps(found[False] | beside))
        return
    for kind, figures in found.items():
        print(f"median{_NAMES[kind]}: {_shown(figures)}, {options.rate} records/s")


_NAMES = {False: "", True: " beside maintenance"}


def spread(took: list[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum."""
    took = sorted(took)
    return {
        "p50": statistics.median(took),
        "p99": took[int(len(took) * 0.99)],
        "max": took[-1],
    }


def _shown(figures: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.0f} ms" for key, value in figures.items())


if __name__ == "__main__":
    main()
