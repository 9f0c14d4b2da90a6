"""Programs as processes of their own, with and without us, beside each other."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import redis
from fix_processes import wait_until
from fix_queue import Server
from fix_serving import free_port
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)

from godot_otel_exporter.spool import Spool

BIN = Path(sys.executable).parent
WAYS = ("plain", "run", "configure")
CONFIGURE = "from godot_otel_exporter import configure; configure()"
_FEW = "aiohttp-client,aiohttp-server,celery,fastapi,flask,httpx,httpx2,requests"


@dataclass(frozen=True)
class Outcome:
    """What somebody sees of a program that has ended."""

    status: int
    out: str
    err: str


class Line(NamedTuple):
    """What a stored record says of itself."""

    body: str
    logger: str
    trace_id: str
    instance: str
    severity: int


class Running:
    """A program that was started; its service has a name of its own."""

    def __init__(
        self, way: str, folder: Path, command: Iterable[str | Path], environ
    ) -> None:
        self.way, self.folder, self.service = way, folder, folder.name
        self._out, self._err = folder / "out.txt", folder / "err.txt"
        ours = [BIN / "godot-otel", "run", "--"] if way == "run" else []
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*ours, *command], cwd=folder, env=environ, stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip # what, and how

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def says(self, text: str, times: int = 1, seconds: float = 60) -> None:
        """Wait until it has printed *text*."""
        wait_until(
            lambda: self.printed().count(text) >= times or self.ended(), text, seconds
        )
        assert self.printed().count(text) >= times, self.printed()

    def ended(self) -> bool:
        return self.process.poll() is not None

    def printed(self) -> str:
        return self._out.read_text() + self._err.read_text()

    def outcome(self, timeout: float = 60) -> Outcome:
        status = self.process.wait(timeout)
        err = self._err.read_text()
        if self.way == "run":
            first, _, err = err.partition("\n")
            assert first.startswith("godot-otel: service"), err
        return Outcome(status, self._common(self._out.read_text()), self._common(err))

    def _common(self, text: str) -> str:
        return text.replace(str(self.folder), "FOLDER")

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


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
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": _FEW,
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
        return found + spooled(running)

    return kept


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


def spooled(running: Running) -> list[str]:
    """The bodies that wait on disk."""
    bodies: list[str] = []

    def take(entry) -> bool:
        request = ExportLogsServiceRequest.FromString(entry.payload)
        bodies.extend(
            record.body.string_value
            for group in request.resource_logs
            for scope in group.scope_logs
            for record in scope.log_records
        )
        return True

    folder = running.folder / ".local/share/godot-otel/spool"
    Spool(folder, max_bytes=2**30).replay(take)
    return bodies


def lines(server: Server, service: str) -> list[Line]:
    found = []
    for request in server.requests():
        for group in request.resource_logs:
            about = {p.key: p.value.string_value for p in group.resource.attributes}
            if about["service.name"] != service:
                continue
            found += [
                Line(
                    record.body.string_value, scope.scope.name, record.trace_id.hex(),
                    about["service.instance.id"], record.severity_number,
                )
                for scope in group.scope_logs
                for record in scope.log_records
            ]  # fmt: skip # one shape
    return found


def timeless(text: str) -> str:
    """Replace what differs from run to run: process ids, ports, times."""
    text = re.sub(r"\[[^\]]*\d{4}[^\]]*\]", "[TIME]", text)
    text = re.sub(r"(127\.0\.0\.1:)\d+", r"\1PORT", text)
    return re.sub(r"((?:pid|process)[ :]*\[?|\[)\d+\b", r"\1PID", text)
