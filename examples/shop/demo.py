"""Runs the shop against a stack of its own and asks what went wrong, as an agent does.

Everything lives in a temporary directory, on free ports of this machine, and is gone
at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests
from mcp import Client

HERE = Path(__file__).parent
GODOT = [sys.executable, "-m", "godot_otel"]
REQUESTS = 20
_started = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - _started:5.1f} s] {text}", flush=True)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def stack(folder: Path, environ: dict[str, str]) -> Iterator[dict[str, str]]:
    say("starting queue, store, collector and MCP server (godot-otel up)")
    ports = ["--mcp-port", "0", "--redis-port", "0", "--otlp-port", "0"]
    with (folder / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [*GODOT, "up", *ports], env=environ, stdout=log, stderr=log
        )
    try:
        state = folder / "data" / "state.json"
        while not state.exists():
            if up.poll() is not None:
                sys.exit((folder / "up.log").read_text())
            time.sleep(0.1)
        yield json.loads(state.read_text())
    finally:
        say("stopping the stack")
        up.terminate()
        up.wait(30)


@contextmanager
def service(
    name: str, port: int, command: list[str], environ: dict[str, str], log: Path
) -> Iterator[None]:
    say(f"starting {name}: godot-otel run --service {name} -- {' '.join(command)}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*GODOT, "run", "--service", name, "--", *command],
            cwd=HERE, env=environ, stdout=output, stderr=output,
        )  # fmt: skip # where and how
    try:
        wait_for(port, process, log)
        yield
    finally:
        process.terminate()  # SIGINT is ignored in a shell's background jobs
        process.wait(30)


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until *process* listens; end with what it said when it does not."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.1)


def send(shop: int) -> str:
    """Send the requests, one of them with a trace id of ours; return that id."""
    say(f"sending {REQUESTS} requests, every seventh cart has a bad card")
    ours = secrets.token_hex(16)
    for cart in range(1, REQUESTS + 1):
        headers = {}
        if cart == REQUESTS:
            headers["traceparent"] = f"00-{ours}-{secrets.token_hex(8)}-01"
        requests.post(
            f"http://127.0.0.1:{shop}/checkout/{cart}", headers=headers, timeout=10
        )
    return ours


async def ask(url: str, ours: str) -> None:
    """Ask the MCP server as any agent would."""
    async with Client(url) as agent:

        async def call(tool: str, **arguments: object) -> str:
            result = await agent.call_tool(tool, arguments)
            text = "\n".join(getattr(part, "text", "") for part in result.content)
            if result.is_error:
                sys.exit(f"{tool} failed: {text}")
            return text

        say("waiting for the last line to arrive")
        deadline = time.monotonic() + 30
        while "is paid" not in await call("logger_query", trace_id=ours):
            if time.monotonic() > deadline:
                sys.exit("the lines of the last request did not arrive")
            await asyncio.sleep(0.2)
        errors = await call("logger_query", level="ERROR", format="json", limit=1)
        failing = json.loads(errors)["rows"][0]["trace_id"]

        print(f"\nlogger_get_trace(trace_id={failing!r})\n")
        print(await call("logger_get_trace", trace_id=failing))
        print("\ndewey_get_log_stats()\n")
        print(await call("dewey_get_log_stats"))
        sent = json.loads(await call("logger_query", trace_id=ours, format="json"))
        services = sorted({row["service"] for row in sent["rows"]})
        assert {row["trace_id"] for row in sent["rows"]} == {ours}
        print(f"\nthe request sent with traceparent {ours}: {len(sent['rows'])} lines"
              f" of {' and '.join(services)}\n")  # fmt: skip # one sentence


def main() -> None:
    shop, payments = free_port(), free_port()
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        outside = re.compile("GODOT_|OTEL_")
        environ = {k: v for k, v in os.environ.items() if not outside.match(k)}
        environ |= {
            "GODOT_DATA_DIR": str(folder / "data"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PORT": str(payments),
            "PAYMENTS_URL": f"http://127.0.0.1:{payments}",
        }
        state = running.enter_context(stack(folder, environ))
        command = ["python", "payments.py"]
        log = folder / "payments.log"
        running.enter_context(service("payments", payments, command, environ, log))
        command = ["flask", "--app", "shop", "run", "--port", str(shop)]
        log = folder / "shop.log"
        running.enter_context(service("shop", shop, command, environ, log))
        ours = send(shop)
        asyncio.run(ask(state["mcp_url"], ours))
    say("done")


if __name__ == "__main__":
    main()
