"""A queue for the folder, and programs started side by side."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import redis
from fix_launch import BIN, CONFIGURE, FEW, WAYS, Line, Running, lines, spans, spooled
from fix_queue import Server
from fix_serving import free_port


@pytest.fixture(scope="session")
def _queue(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("valkey"), free_port())
    yield server
    server.stop()


@pytest.fixture
def queue(_queue) -> Server:
    """The folder's Valkey, empty."""
    with redis.Redis(port=_queue.port) as client:
        client.flushall()
    return _queue


@pytest.fixture
def launch(tmp_path, queue):
    """Start a program; what is left of it is gone after the test."""
    started: list[Running] = []

    def launch(
        source: str, *command: str | Path, way: str = "run", url: str | None = None,
        **variables: str,
    ) -> Running:  # fmt: skip # what, and how
        folder = tmp_path / f"{way}{len(started)}"
        folder.mkdir()
        configure = CONFIGURE if way == "configure" else "pass"
        source = textwrap.dedent(source)
        if "CONFIGURE" not in source:  # the empty first line: numbers stay
            source = source.replace("\n", "CONFIGURE\n", 1)
        (folder / "shop.py").write_text(source.replace("CONFIGURE", configure))
        environ = {
            "PATH": f"{BIN}:{os.defpath}", "HOME": str(folder),
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": FEW,
            "OTEL_SERVICE_NAME": folder.name, "GODOT_REDIS_URL": url or queue.url,
        }  # fmt: skip # a few pairs
        started.append(
            Running(
                way, folder, command or (sys.executable, "shop.py"), environ | variables
            )
        )
        return started[-1]

    yield launch
    for running in started:
        running.kill()


@pytest.fixture
def stored(queue) -> Callable[[Running], list[Line]]:
    """What is in the queue of one program."""

    def stored(running: Running) -> list[Line]:
        return lines(queue, running.service)

    return stored


@pytest.fixture
def kept(queue) -> Callable[[Running], list[str]]:
    """The bodies of one program: in the queue, then on disk."""

    def kept(running: Running) -> list[str]:
        found = [line.body for line in lines(queue, running.service)]
        return found + spooled(running)[0]

    return kept


@pytest.fixture
def traced(queue) -> Callable[[Running], list[str]]:
    """The names of one program's spans: in the queue, then on disk."""

    def traced(running: Running) -> list[str]:
        found = [span.name for span in spans(queue, running.service)]
        return found + spooled(running)[1]

    return traced


@pytest.fixture
def alike(launch):
    """Run a program with and without us; console and exit status must agree.

    Returns the instrumented ones.
    """

    def alike(
        source: str, act: Callable[[Running], None] = lambda running: None,
        *command: str | Path, ways: Iterable[str] = WAYS,
        common: Callable[[str], str] = str, **variables: str,
    ) -> list[Running]:  # fmt: skip # what, and how
        all_of_them = [launch(source, *command, way=way, **variables) for way in ways]
        for running in all_of_them:
            act(running)
        outcomes = [running.outcome() for running in all_of_them]
        for running, outcome in zip(all_of_them, outcomes, strict=True):
            expected = outcomes[0]
            assert outcome.status == expected.status, (running.way, outcome)
            assert common(outcome.out) == common(expected.out), running.way
            assert common(outcome.err) == common(expected.err), running.way
        return all_of_them[1:]

    return alike
