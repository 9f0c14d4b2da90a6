"""Sends one request through four programs and finds all of its lines under one id.

Needs a running stack, `godot-otel up`; services and ports are gone at the end.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import by_hand

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
GODOT = [sys.executable, "-m", "godot_otel"]
BOTH = "tracecontext,baggage,godot_xtraceid"
FLASK = ("flask", "--app", "threads", "run")
BARE = ("--service", "bare")
LINES = {
    ("threads", "order 7 came in"),
    ("threads", "order 7 is weighed"),
    ("threads", "order 7 is packed"),
    ("tasks", "a letter about order 7 is wanted"),
    ("tasks", "the letter about order 7 is written"),
    ("tasks", "the letter about order 7 is on its way"),
}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(name: str, command: list[str], **variables: str) -> Iterator[str]:
    port = free_port()
    print(f"starting {name}: {' '.join(command)}")
    # Settings of other programs' telemetry stay outside; where the stack is, does not.
    environ = {k: v for k, v in os.environ.items() if not re.match("OTEL_", k)}
    environ |= {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    environ |= {"PORT": str(port), "FLASK_RUN_PORT": str(port)} | variables
    process = subprocess.Popen(command, cwd=HERE, env=environ)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None:
                    sys.exit(f"{name} ended")
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def instrumented(service: str, *command: str) -> list[str]:
    return [*GODOT, "run", "--service", service, "--", *command]


def stored(*filters: str) -> list[dict[str, str | None]]:
    query = [*GODOT, "query", "--json", "--since", "-5m", *filters]
    answer = subprocess.run(query, capture_output=True, text=True)
    if answer.returncode not in (0, 1):
        sys.exit(answer.stderr)
    return [json.loads(line) for line in answer.stdout.splitlines()]


def wait_for(count: int, *filters: str) -> list[dict[str, str | None]]:
    deadline = time.monotonic() + 30
    while len(found := stored(*filters)) < count:
        if time.monotonic() > deadline:
            sys.exit(f"{filters}: {len(found)} lines arrived, not {count}: {found}")
        time.sleep(0.2)
    return found


def main() -> None:
    if subprocess.run([*GODOT, "status"], capture_output=True).returncode:
        sys.exit("no stack is running: start one with `godot-otel up`")
    with ExitStack() as services:

        def start(name: str, *command: str, **variables: str) -> str:
            return services.enter_context(running(name, list(command), **variables))

        tasks = start(
            "tasks", *instrumented("tasks", "python", "tasks.py"), OTEL_PROPAGATORS=BOTH
        )
        old = start("the old service", sys.executable, "old.py", NEXT_URL=tasks)
        threads = start(
            "threads", *instrumented("threads", *FLASK), NEXT_URL=old,
            OTEL_PROPAGATORS=BOTH,
        )  # fmt: skip # one program
        bare = start(
            "threads without their instrumentor", *instrumented("bare", *FLASK),
            NEXT_URL=old, OTEL_PROPAGATORS=BOTH,
            OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="threading",
        )  # fmt: skip # one program

        ours, answered = by_hand.call(f"{threads}/orders/7")
        print(f"sent {ours}, answered {answered}")
        assert ours == answered
        # With the access lines of both.
        found = wait_for(len(LINES) + 2, "--trace-id", ours)
        for line in reversed(found):
            print(f"  {line['trace_id']} {line['service']:8} {line['body']}")
        assert {line["trace_id"] for line in found} == {ours}
        assert {(line["service"], line["body"]) for line in found} >= LINES

        ours, _ = by_hand.call(f"{bare}/orders/8")
        bodies = {line["body"] for line in wait_for(3, "--trace-id", ours, *BARE)}
        assert "order 8 is packed" in bodies  # with a copied context
        assert "order 8 is weighed" not in bodies  # with nothing
        (*_, weighed) = wait_for(1, "--search", "order 8 is weighed", *BARE)
        assert weighed["trace_id"] is None
    print("every line has the trace it belongs to")


if __name__ == "__main__":
    main()
