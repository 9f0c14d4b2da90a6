"""Real processes of the command line, for tests that kill them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from godot_otel import override, queue

FREE_PORTS = ("--mcp-port", "0", "--redis-port", "0", "--otlp-port", "0")  # of `up`

_APPLICATION = """
import logging, sys, godot_otel_exporter
logging.basicConfig(level=logging.INFO)  # what it says of itself, from the beginning
godot_otel_exporter.configure(service_name=sys.argv[1])
sys.stdin.read()
"""


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.02)


def count(dsn: str, table: str = "logs") -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return row[0]


class Process:
    """A command of ours that says when it is ready, ready when made."""

    def __init__(
        self,
        log: Path,
        *arguments: str,
        python: Path | str = sys.executable,
        **environ: str,
    ) -> None:
        self.log = log
        ready = log.parent / f"ready-{time.monotonic_ns()}"
        environ |= {"NOTIFY_SOCKET": str(ready)}
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
            self.log.open("ab") as log,
        ):
            notified.bind(str(ready))
            notified.settimeout(30)
            self.process = subprocess.Popen(
                [python, "-m", "godot_otel", *arguments],
                cwd=self.log.parent,  # another Python must not find the checkout first
                env=os.environ | environ,
                stdout=log,
                stderr=log,
            )
            assert notified.recv(100) == b"READY=1"

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


class CollectorProcess(Process):
    """``godot-otel collect``."""

    arguments: tuple[str, ...] = ()

    def __init__(self, folder: Path, redis_url: str, dsn: str, **environ: str) -> None:
        environ |= {"GODOT_REDIS_URL": redis_url, "GODOT_POSTGRES_DSN": dsn}
        super().__init__(
            folder / "collector.log", "collect", *self.arguments, **environ
        )


class ReceiverProcess(Process):
    """``godot-otel receive`` on a free port."""

    def __init__(self, folder: Path, redis_url: str, **environ: str) -> None:
        environ |= {"GODOT_REDIS_URL": redis_url}
        super().__init__(folder / "receiver.log", "receive", "--port", "0", **environ)
        self.url = self.lines("ready")[-1]["message"].removeprefix("ready on ")
        self.port = int(self.url.rpartition(":")[2])

    def lines(self, action: str) -> list[dict[str, str]]:
        """Its log lines of one action."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line["action"] == action]


@contextmanager
def application(service: str, **environ: str) -> Iterator[None]:
    """An application that logs nothing and can be told another level."""
    producer = queue.Producer(environ["GODOT_REDIS_URL"])
    with subprocess.Popen(
        [sys.executable, "-c", _APPLICATION, service],
        env=os.environ | environ, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as running:  # fmt: skip # what, and how
        try:
            wait_until(lambda: bool(override.running(producer)), "an application")
            yield
        finally:
            running.communicate(timeout=20)  # closes stdin, which ends it
            producer.close()
