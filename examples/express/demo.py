"""A kiosk, Express, Flask and aiohttp: one request through all four, and its trace.

    python examples/express/demo.py [--stock]

With --stock nothing of this project is in the storefront: OpenTelemetry's own packages
send OTLP over HTTP to the port that ``godot-otel up`` prints. Everything lives in a
temporary directory, on free ports of this machine, and is gone at the end. Needs
Node.js >= 20.6 and npm.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).parents[1] / "shop"))
from demo import GODOT, free_port, say, service, stack, wait_for

HERE = Path(__file__).parent
STOCK = HERE / "stock"
OURS, OTHERS = (
    "godot-otel/register",
    "@opentelemetry/auto-instrumentations-node/register",
)
CARTS = (6, 7)  # the second has a bad card
SERVICES = {"storefront", "shop", "payments"}


def install(*folders: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("this demo needs Node.js >= 20.6 and its npm")
    for folder in folders:
        say(f"npm ci in {folder.relative_to(HERE.parents[1])}")
        command = [npm, "ci", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=folder, check=True)


@contextmanager
def program(
    port: int, arguments: list[str], environ: dict[str, str], log: Path
) -> Iterator[None]:
    """Run one of Node.js's programs; the block begins when it listens."""
    say(f"starting node {' '.join(arguments)}")
    folder = STOCK if OTHERS in arguments else HERE
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["node", *arguments], cwd=folder, env=environ, stdout=output, stderr=output
        )
    try:
        wait_for(port, process, log)
        yield
    finally:
        # OpenTelemetry's own packages take the signal's default away, and stay.
        process.send_signal(signal.SIGKILL if OTHERS in arguments else signal.SIGTERM)
        process.wait(30)


def buy(port: int, *, stock: bool) -> list[str]:
    """Buy each cart, with a trace id of ours; return those."""
    traces = []
    for cart in CARTS:
        trace_id = uuid.uuid4()
        name, value = "X-Trace-ID", str(trace_id)
        if stock:
            name, value = "traceparent", f"00-{trace_id.hex}-{secrets.token_hex(8)}-01"
        say(f"buying cart {cart} with {name}: {value}")
        url = f"http://127.0.0.1:{port}/buy/{cart}"
        requests.post(url, headers={name: value}, timeout=20)
        traces.append(trace_id.hex)
    return traces


def show(traces: list[str], environ: dict[str, str]) -> None:
    for trace_id in traces:
        deadline = time.monotonic() + 30
        while missing := awaited(trace_id, environ):
            if time.monotonic() > deadline:
                sys.exit(f"not in the trace: {', '.join(sorted(missing))}")
            time.sleep(0.2)
    for trace_id in traces:
        print(f"\ngodot-otel trace {trace_id}\n", flush=True)
        subprocess.run([*GODOT, "trace", trace_id], env=environ, check=True)
        print()


def awaited(trace_id: str, environ: dict[str, str]) -> set[str]:
    """Say of which services lines or spans have not arrived yet."""
    command = [*GODOT, "trace", trace_id, "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    spans = {one["service"] for one in found if "name" in one}
    lines = {one["service"] for one in found if "body" in one}
    return {
        *(f"spans of {name}" for name in SERVICES - spans),
        *(f"lines of {name}" for name in SERVICES - lines),
    }


def main() -> None:
    stock = sys.argv[1:] == ["--stock"]
    install(HERE, *([STOCK] if stock else []))
    shop, payments, storefront, kiosk = (free_port() for _ in range(4))
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        outside = re.compile("GODOT_|OTEL_")
        environ = {k: v for k, v in os.environ.items() if not outside.match(k)}
        environ |= {
            "GODOT_DATA_DIR": str(folder / "data"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PAYMENTS_URL": f"http://127.0.0.1:{payments}",
            "SHOP_URL": f"http://127.0.0.1:{shop}",
            "STOREFRONT_URL": f"http://127.0.0.1:{storefront}",
        }
        state = running.enter_context(stack(folder, environ))
        for name, port, command in (
            ("payments", payments, ["python", "payments.py"]),
            ("shop", shop, ["flask", "--app", "shop", "run", "--port", str(shop)]),
        ):
            own = environ | {"PORT": str(port)}
            log = folder / f"{name}.log"
            running.enter_context(service(name, port, command, own, log))
        storefront_js = str(HERE / "storefront.js")
        for name, port, arguments in (
            (
                "storefront",
                storefront,
                ["--require", OTHERS if stock else OURS, storefront_js],
            ),
            ("kiosk", kiosk, ["kiosk.js"]),
        ):
            own = environ | {"PORT": str(port), "OTEL_SERVICE_NAME": name}
            if stock:
                own |= {
                    "OTEL_EXPORTER_OTLP_ENDPOINT": state["otlp_url"],
                    "OTEL_LOGS_EXPORTER": "otlp",
                    "OTEL_METRICS_EXPORTER": "none",
                }
            else:
                own["OTEL_PROPAGATORS"] = "tracecontext,baggage,godot_xtraceid"
            running.enter_context(program(port, arguments, own, folder / f"{name}.log"))
        # OpenTelemetry's own packages know no X-Trace-ID, and so no kiosk.
        show(buy(storefront if stock else kiosk, stock=stock), environ)
    say("done")


if __name__ == "__main__":
    main()
