from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import redis
from fix_queue import Server
from fix_serving import free_port

from godot_otel_exporter import diagnostics
from godot_otel_exporter.exporter import GodotLogRecordExporter

BIN = Path(sys.executable).parent


@pytest.fixture(scope="session")
def _server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("valkey"), free_port())
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
    server = Server(tmp_path, free_port())
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
        exporter.shutdown()


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
