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
from pathlib import Path

from emit import queue_server, run, table

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
    with queue_server() as (folder, server):

        def measure(way: str, case: dict[str, object]) -> dict[str, float]:
            return run(way, case, options.spans, folder, server, PROGRAM)

        table("a span beyond no processor", CASES, options.runs, measure)


if __name__ == "__main__":
    main()
