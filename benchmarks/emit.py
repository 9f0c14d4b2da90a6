"""What a log call costs the application: its own thread, and the process until sent.

    python benchmarks/emit.py [--records 60000] [--runs 5]

Three programs log the same, each run in a process of its own, in turn, several times;
the figures are medians:

- plain: ``logging`` with a handler that does nothing;
- stock: OpenTelemetry's handler and BatchLogRecordProcessor, encoding OTLP with its own
  encoder into nothing;
- ours: the direct way, redaction included, sent to a real queue.

``call`` is the CPU time of the calling thread beyond plain, a call, in bursts of 200
with flushes in between. ``cpu`` is the CPU time of the whole process beyond plain, a
record, until everything has left. The encoders are compared by themselves. Each program
also times work that is the same in all of them; its figures are scaled to the median of
that, because a shared machine gives one process a slower core than the next.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

from godot_otel.stack.valkey import Valkey

CASES = {
    "no attributes": {"threads": 1, "attributes": 0},
    "4 attributes": {"threads": 1, "attributes": 4},
    "4 threads": {"threads": 4, "attributes": 0},
    "4 threads, 4 attributes": {"threads": 4, "attributes": 4},
    "exceptions, 10 frames": {"threads": 1, "attributes": 0, "exceptions": True},
}
WAYS = ("plain", "stock", "ours")
FIGURES = ("call", "cpu")
PROGRAM = Path(__file__).with_name("emitter.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--records", type=int, default=60_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with queue_server() as (folder, server):
        report(options, folder, server)


@contextmanager
def queue_server() -> Iterator[tuple[Path, Valkey]]:
    """A queue of its own, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="godot-bench-") as folder:
        server = Valkey(Path(folder) / "valkey", settings={"appendfsync": "no"})
        server.start()
        try:
            yield Path(folder), server
        finally:
            server.stop()


def report(options: argparse.Namespace, folder: Path, server: Valkey) -> None:
    """Print the table of all cases, and what the encoders take."""

    def measure(way: str, case: dict[str, object]) -> dict[str, float]:
        records = options.records // (20 if case.get("exceptions") else 1)
        return run(way, case, records, folder, server)

    table("a call or record beyond plain logging", CASES, options.runs, measure)
    print()
    encoders(options.runs, folder, server)


def table(
    what: str,
    cases: dict[str, dict[str, object]],
    runs: int,
    measure: Callable[[str, dict[str, object]], dict[str, float]],
) -> None:
    """Print a row for each case; *measure* runs it one way."""
    print(f"us {what}; medians of {runs} runs")
    print(f"{'':<27}{'plain':>7}{'stock':>8}{'ours':>8}{'ratio':>7}"
          f"{'stock':>9}{'ours':>8}{'ratio':>7}")  # fmt: skip # a table's head
    print(f"{'':<27}{'call':>7}{'call':>8}{'call':>8}{'':>7}{'cpu':>9}{'cpu':>8}")
    for name, case in cases.items():
        found = [{way: measure(way, case) for way in WAYS} for _ in range(runs)]
        scale(found)
        plain = statistics.median(one["plain"]["call"] for one in found)
        call = [beyond_plain(found, way, "call") for way in ("stock", "ours")]
        cpu = [beyond_plain(found, way, "cpu") for way in ("stock", "ours")]
        print(f"{name:<27}{plain:7.1f}{call[0]:8.1f}{call[1]:8.1f}"
              f"{call[1] / call[0]:7.2f}{cpu[0]:9.1f}{cpu[1]:8.1f}"
              f"{cpu[1] / cpu[0]:7.2f}", flush=True)  # fmt: skip # a row


def beyond_plain(
    runs: list[dict[str, dict[str, float]]], way: str, figure: str
) -> float:
    """Return the median of what *way* costs more than plain did just before it."""
    return statistics.median(one[way][figure] - one["plain"][figure] for one in runs)


def scale(runs: list[dict[str, dict[str, float]]]) -> None:
    """Make figures those of a core of the same speed."""
    pace = statistics.median(found["pace"] for one in runs for found in one.values())
    for one in runs:
        for found in one.values():
            for name in FIGURES:
                found[name] *= pace / found["pace"]


def encoders(runs: int, folder: Path, server: Valkey) -> None:
    """Print what encoding a record takes the two encoders, for the same records."""
    for attributes in (0, 4):
        case = {"threads": 1, "attributes": attributes, "encoders": True}
        found = [run("stock", case, 512, folder, server) for _ in range(runs)]
        stock = statistics.median(one["stock"] for one in found)
        ours = statistics.median(one["ours"] for one in found)
        named = f"standard way, encoding, {attributes} attributes:"
        print(named, f"stock {stock:.1f} us, ours {ours:.1f}, ratio {ours / stock:.2f}")


def run(
    way: str,
    case: dict[str, object],
    records: int,
    folder: Path,
    server: Valkey,
    program: Path = PROGRAM,
) -> dict[str, float]:
    """Run the emitter one way in a process of its own; return what it measured."""
    environ = {
        "OTEL_EXPORTER_GODOT_ENDPOINT": server.url,
        "OTEL_EXPORTER_GODOT_SPOOL_DIR": str(folder / "spool"),
        # The program uses none of the frameworks that happen to be installed.
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(
            found.name
            for found in entry_points(group="opentelemetry_instrumentor")
            if found.name != "logging"
        ),
    }
    run = [Path(sys.executable).with_name("godot-otel"), "run", "--"]
    done = subprocess.run(
        [*(run if way == "ours" else []), sys.executable, program, way,
         json.dumps(case), str(records)],
        env=os.environ | environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        check=True,
    )  # fmt: skip # what, and how
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
