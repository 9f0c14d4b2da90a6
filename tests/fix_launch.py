"""Programs as processes of their own, with and without us, and what became of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fix_processes import wait_until
from fix_queue import Server
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from godot_otel_exporter.spool import batch_file

BIN = Path(sys.executable).parent
WAYS = ("plain", "run", "configure")
CONFIGURE = "from godot_otel_exporter import configure; configure()"
TRACED = """
    from opentelemetry import trace
    class Traced:
        def info(self, text, *args):
            with tracer.start_as_current_span(text % args):
                logging.getLogger("shop").info(text, *args)
    tracer, log = trace.get_tracer("shop"), Traced()
"""
"""``log`` makes a span around each line, of the line's name."""
FEW = "aiohttp-client,aiohttp-server,celery,fastapi,flask,httpx,httpx2,requests"


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


def spooled(running: Running) -> tuple[list[str], list[str]]:
    """The bodies of records and the names of spans that wait on disk."""
    bodies: list[str] = []
    names: list[str] = []
    folder = running.folder / ".local/share/godot-otel/spool"
    for file in sorted(folder.glob("*.batch")):
        entry = batch_file.unpack(file.read_bytes())
        if entry.signal == b"traces":
            spans = ExportTraceServiceRequest.FromString(entry.payload).resource_spans
            names += [
                span.name
                for group in spans
                for scope in group.scope_spans
                for span in scope.spans
            ]
        else:
            logs = ExportLogsServiceRequest.FromString(entry.payload).resource_logs
            bodies += [
                record.body.string_value
                for group in logs
                for scope in group.scope_logs
                for record in scope.log_records
            ]
    return bodies, names


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


def spans(server: Server, service: str) -> list[Span]:
    """The spans of one service."""
    return [
        span
        for request in server.trace_requests()
        for group in request.resource_spans
        if any(
            pair.key == "service.name" and pair.value.string_value == service
            for pair in group.resource.attributes
        )
        for scope in group.scope_spans
        for span in scope.spans
    ]
