"""What a span costs the application: its own thread, and the process until sent.

    python benchmarks/emit_spans.py [--spans 20000] [--runs 5]

As ``emit.py``, of which this takes the method, for spans begun and ended by
``start_as_current_span``:

- plain: a TracerProvider without a processor;
- stock: BatchSpanProcessor, encoding with OpenTelemetry's own encoder into nothing;
- ours: our processor under ``godot-otel run``, redaction and all else included, sent to
  a real queue.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from emit import FIGURES, WAYS, run, scale

from godot_otel.stack.valkey import Valkey

CASES = {
    "no attributes": {"threads": 1, "attributes": 0},
    "4 attributes": {"threads": 1, "attributes": 4},
    "a request's 12 attributes": {"threads": 1, "attributes": 12, "server": True},
    "4 threads, 4 attributes": {"threads": 4, "attributes": 4},
    "an exception's event": {"threads": 1, "attributes": 4, "exceptions": True},
}
PROGRAM = Path(__file__).with_name("span_emitter.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--spans", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="godot-bench-") as folder:
        server = Valkey(Path(folder) / "valkey", settings={"appendfsync": "no"})
        server.start()
        try:
            report(options, Path(folder), server)
        finally:
            server.stop()


def report(options: argparse.Namespace, folder: Path, server: Valkey) -> None:
    """Print the table of all cases."""
    print(f"us a span beyond no processor; medians of {options.runs} runs")
    print(f"{'':<27}{'plain':>7}{'stock':>8}{'ours':>8}{'ratio':>7}"
          f"{'stock':>9}{'ours':>8}{'ratio':>7}")  # fmt: skip # a table's head
    print(f"{'':<27}{'call':>7}{'call':>8}{'call':>8}{'':>7}{'cpu':>9}{'cpu':>8}")
    for name, case in CASES.items():
        runs = [
            {way: run(way, case, options.spans, folder, server, PROGRAM)
             for way in WAYS}
            for _ in range(options.runs)
        ]  # fmt: skip # one case, in turn
        scale(runs)
        plain, stock, ours = (
            {key: statistics.median(r[way][key] for r in runs) for key in FIGURES}
            for way in WAYS
        )
        call = stock["call"] - plain["call"], ours["call"] - plain["call"]
        cpu = stock["cpu"] - plain["cpu"], ours["cpu"] - plain["cpu"]
        print(f"{name:<27}{plain['call']:7.1f}{call[0]:8.1f}{call[1]:8.1f}"
              f"{call[1] / call[0]:7.2f}{cpu[0]:9.1f}{cpu[1]:8.1f}"
              f"{cpu[1] / cpu[0]:7.2f}", flush=True)  # fmt: skip # a row


if __name__ == "__main__":
    main()
