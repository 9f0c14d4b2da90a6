"""A web server as a process of its own, instrumented, asked over one connection."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Client:
    """Asks over one connection, kept alive as far as the server keeps it."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def get(self, path: str, **headers: str) -> http.client.HTTPMessage:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self._connection.request("GET", path, headers=named)
            answer = self._connection.getresponse()
        except ConnectionError:  # closed by the server after an error
            self._connection.close()
            self._connection.request("GET", path, headers=named)
            answer = self._connection.getresponse()
        answer.read()
        return answer.headers

    def close(self) -> None:
        self._connection.close()


@contextmanager
def serving(
    folder: Path, source: str, *command: str, port: int, **variables: str
) -> Iterator[Client]:
    """Run *command* on *source*, saved as app.py; end it by SIGTERM."""
    (folder / "app.py").write_text(textwrap.dedent(source))
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [BIN / "godot-otel", "run", "--", BIN / command[0], *command[1:]],
            env=os.environ | {"PORT": str(port), "PYTHONPATH": str(folder)} | variables,
            cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip # what, and how
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "server.log").read_text()
                time.sleep(0.05)
        client = Client(port)
        try:
            yield client
        finally:
            client.close()
    finally:
        process.terminate()
        process.wait(20)


class Line(NamedTuple):
    """What a stored record says of itself."""

    logger: str
    body: str
    trace_id: str | None
    attributes: dict[str, str]
    severity: tuple[int, str]


def lines(server) -> list[Line]:
    """Everything in the queue of *server*, as it happened."""
    stored = [
        (
            record.time_unix_nano,
            Line(
                scope.scope.name,
                record.body.string_value,
                record.trace_id.hex() or None,
                {pair.key: pair.value.string_value for pair in record.attributes},
                (record.severity_number, record.severity_text),
            ),
        )
        for request in server.requests()
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]
    return [line for _, line in sorted(stored, key=lambda found: found[0])]
