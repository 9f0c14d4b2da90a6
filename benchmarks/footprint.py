"""What being instrumented costs a process that does nothing: memory and start-up.

    python benchmarks/footprint.py [--runs 9]

Compared with OpenTelemetry's own distribution, fetched into a temporary folder,
with the same instrumentors, the SDK and ``redis`` imported; processes in turn, medians.
Memory is the resident set three seconds after the start, with a queue to talk to.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from godot_otel.stack.valkey import Valkey

BIN = Path(sys.executable).parent
IDLE = """
import os, sys, time
print(time.time() - float(os.environ["STARTED"]), flush=True)
import redis
time.sleep(3)
for line in open("/proc/self/status"):
    if line.startswith("VmRSS"):
        print(int(line.split()[1]) / 1024)
"""
STOCK = {
    "OTEL_PYTHON_DISTRO": "distro",
    "OTEL_PYTHON_CONFIGURATOR": "configurator",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="godot-bench-") as name:
        folder = Path(name)
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target",
             folder / "distro", "opentelemetry-distro"],
            check=True,
        )  # fmt: skip # one command
        server = Valkey(folder / "valkey")
        server.start()
        try:
            report(options.runs, folder, server)
        finally:
            server.stop()


def report(runs: int, folder: Path, server: Valkey) -> None:
    """Measure both in turn and print the medians."""
    stock = [BIN / "opentelemetry-instrument"], STOCK
    ours = (
        [BIN / "godot-otel", "run", "--"],
        {
            "OTEL_EXPORTER_GODOT_ENDPOINT": server.url,
            "OTEL_EXPORTER_GODOT_SPOOL_DIR": str(folder / "spool"),
        },
    )
    found = [(idle(*stock, folder), idle(*ours, folder)) for _ in range(runs)]
    for place, what in enumerate(("ms until the application runs", "MB when idle")):
        left, right = (
            statistics.median(one[side][place] for one in found) for side in (0, 1)
        )
        print(f"{what}: stock {left:.0f}, ours {right:.0f}, {right - left:+.0f}")


def idle(
    command: list[str | Path], environ: dict[str, str], folder: Path
) -> tuple[float, float]:
    """Run the idle program; return its start-up in ms and its memory in MB."""
    done = subprocess.run(
        [*command, sys.executable, "-c", IDLE],
        env=os.environ
        | {"PYTHONPATH": str(folder / "distro"), "STARTED": str(time.time())}
        | environ,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
    )  # fmt: skip # what, and how
    started, memory = map(float, done.stdout.split())
    return started * 1000, memory


if __name__ == "__main__":
    main()
