"""A kiosk, Express, Flask and aiohttp: one request through all four, and its trace.

Everything lives in a temporary directory, on free ports of this machine, and is gone
at the end. Needs Node.js >= 20.6 and npm.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "shop"))
from demo import GODOT, free_port, say, service, stack, wait_for  # type: ignore[attr-defined] # the shop's

import requests

CARTS = (6, 7)  # the second has a bad card
SERVICES = {"storefront", "shop", "payments"}


def install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("this demo needs Node.js >= 20.6 and its npm")
    say("npm ci: Express, pino, and the exporter from this checkout")
    subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--silent"], cwd=HERE, check=True)


@contextmanager
def program(port: int, arguments: list[str], environ: dict[str, str], log: Path) -> Iterator[None]:
    """Run one of Node.js's programs; the block begins when it listens."""
    say(f"starting node {' '.join(arguments)}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["node", *arguments], cwd=HERE, env=environ, stdout=output, stderr=output
        )
    try:
        wait_for(port, process, log)
        yield
    finally:
        process.terminate()
        process.wait(30)


def buy(kiosk: int) -> list[str]:
    """Buy each cart; return the trace ids, which the kiosk sends as X-Trace-ID."""
    traces = []
    for cart in CARTS:
        trace_id = uuid.uuid4()
        say(f"buying cart {cart} with X-Trace-ID: {trace_id}")
        url = f"http://127.0.0.1:{kiosk}/buy/{cart}"
        requests.post(url, headers={"X-Trace-ID": str(trace_id)}, timeout=20)
        traces.append(trace_id.hex)
    return traces


def show(traces: list[str], environ: dict[str, str]) -> None:
    for trace_id in traces:
        deadline = time.monotonic() + 30
        while services(trace_id, environ) != SERVICES:
            if time.monotonic() > deadline:
                sys.exit(f"only {services(trace_id, environ)} are in the trace")
            time.sleep(0.2)
    for trace_id in traces:
        print(f"\ngodot-otel trace {trace_id}\n", flush=True)
        subprocess.run([*GODOT, "trace", trace_id], env=environ, check=True)
        print()


def services(trace_id: str, environ: dict[str, str]) -> set[str]:
    command = [*GODOT, "query", "--trace-id", trace_id, "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    return {json.loads(line)["service"] for line in done.stdout.splitlines()}


def main() -> None:
    install()
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
        running.enter_context(stack(folder, environ))
        for name, port, command in (
            ("payments", payments, ["python", "payments.py"]),
            ("shop", shop, ["flask", "--app", "shop", "run", "--port", str(shop)]),
        ):
            own = environ | {"PORT": str(port)}
            log = folder / f"{name}.log"
            running.enter_context(service(name, port, command, own, log))
        for name, port, arguments in (
            ("storefront", storefront, ["--require", "godot-otel/register", "storefront.js"]),
            ("kiosk", kiosk, ["kiosk.js"]),
        ):
            own = environ | {
                "PORT": str(port),
                "OTEL_SERVICE_NAME": name,
                "OTEL_PROPAGATORS": "tracecontext,baggage,godot_xtraceid",
            }
            running.enter_context(program(port, arguments, own, folder / f"{name}.log"))
        show(buy(kiosk), environ)
    say("done")


if __name__ == "__main__":
    main()
