"""What may happen to the queue's server while an application logs.

Used by tests, which count records, and by ``benchmarks/outages.py``, which also looks
at how long log calls took. An outage begins when the application says that its first
record has arrived, and is over before it ends, or else after.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import redis

from godot_otel import queue
from godot_otel.stack import ports
from godot_otel.stack.valkey import Valkey

APPLICATION = Path(__file__).parent / "faults" / "application.py"


def _restarted(server: Valkey) -> Iterator[None]:
    server.stop()
    yield
    server.start()


def _killed(server: Valkey) -> Iterator[None]:
    os.kill(server.pid or 0, signal.SIGKILL)
    assert server.process is not None
    server.process.wait()
    yield
    server.start()


def _stalled(server: Valkey) -> Iterator[None]:
    pid = server.pid or 0
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


def _full(server: Valkey) -> Iterator[None]:
    with redis.Redis.from_url(server.url) as client:
        client.hset(queue.meta_key(), "max_records", "1")
        yield
        client.hset(queue.meta_key(), "max_records", "100000000")


def _out_of_memory(server: Valkey) -> Iterator[None]:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "1")
        yield
        client.config_set("maxmemory", "0")


OUTAGES: Mapping[str, Callable[[Valkey], Iterator[None]]] = {
    "restarted": _restarted,
    "killed": _killed,
    "stalled": _stalled,
    "full": _full,
    "out of memory": _out_of_memory,
}


class Application:
    """``application.py`` under ``godot-otel run``, or plain, as a process."""

    def __init__(
        self,
        folder: Path,
        calls: int,
        *,
        environ: Mapping[str, str],
        plain: bool = False,
    ) -> None:
        self.result = folder / f"result-{time.monotonic_ns()}.json"
        run = [str(Path(sys.executable).with_name("godot-otel")), "run", "--"]
        self.process = subprocess.Popen(
            [*([] if plain else run), sys.executable, str(APPLICATION), str(calls),
             str(self.result)],
            env=os.environ | environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip # what, and how

    def wait_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        """Let it end; only one that pauses looks for this."""
        self.result.with_name(f"{self.result.name}.stop").touch()

    def wait(self, seconds: float = 120) -> dict[str, Any]:
        """Wait for the end; return what the application measured, and its stderr."""
        _, said = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, said
        return json.loads(self.result.read_text()) | {"stderr": said}


@contextlib.contextmanager
def outage(name: str, server: Valkey) -> Iterator[None]:
    """Let *name* happen to *server*; it is over after the block."""
    steps = OUTAGES[name](server)
    next(steps)
    yield
    next(steps, None)


def durable_server(folder: Path) -> Valkey:
    """A server that keeps its port and, as by default, what it has accepted."""
    return Valkey(folder, port=ports.free())
