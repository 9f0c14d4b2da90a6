"""``collect --workers N``: collectors under one parent, started again when they die.

The parent only watches. Should it be killed, its workers end by themselves: their
standard input is a pipe that nobody else holds open.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from godot_otel import notify
from godot_otel.errors import SettingError
from godot_otel.stack import part, ports, unprivileged
from godot_otel.stack.program import Program
from godot_otel.stack.stop_request import StopRequest
from godot_otel.stack.supervisor import Supervisor

log = logging.getLogger(__name__)

STOP_TIMEOUT = 70.0  # a collector finishes its transaction; a statement ends after 60 s
_WORKER = "_GODOT_OTEL_WORKER"
_OURSELVES = (sys.executable, "-m", "godot_otel")


class _MustChange(Exception):
    """A worker ended with status 2: to start it again would change nothing.

    No GodotError: after one of those the supervisor would try again.
    """


class _Worker(Program):
    """One collector; it says itself on our stdout and stderr what it has to say."""

    start_timeout: ClassVar[float] = math.inf  # it waits for its servers for ever

    def __init__(
        self, title: str, arguments: Sequence[str], *,
        environ: Mapping[str, str], notify: Path, lifeline: int,
    ) -> None:  # fmt: skip # what, and how
        super().__init__(
            title,
            [*_OURSELVES, "collect", *arguments],
            environ={**environ, _WORKER: "1"},
            log=Path("/dev/stdout"),
            notify=notify,
        )
        self._lifeline = lifeline

    def _spawn(
        self,
        command: Sequence[str | Path],
        environ: Mapping[str, str],
        account: pwd.struct_passwd | None = None,
    ) -> None:
        # A session of its own: Ctrl-C reaches the parent alone.
        self.process = subprocess.Popen(
            command, env=environ, stdin=self._lifeline, start_new_session=True
        )

    def ending(self) -> str:
        """Say how it ended."""
        if self.process is not None and self.process.returncode == 2:
            raise _MustChange(f"{self.title} cannot go on: it has said above why.")
        return super().ending()

    def last_words(self) -> str:
        """Say where to look: what it said is not ours to read."""
        return "it may have said above why"


class _Log:
    """What the supervisor says, as log lines."""

    def working(self, what: str) -> None:
        log.info("%s", what, extra={"action": "working"})

    def works(self, title: str, where: str) -> None:
        log.info("%s works", title, extra={"action": "worker_ready"})

    def trouble(self, sentence: str) -> None:
        log.warning("%s", sentence, extra={"action": "worker_ended"})


def run(count: int, arguments: Sequence[str] = ()) -> None:
    """Run *count* collectors until SIGTERM or SIGINT; then each ends its transaction.

    Raises:
        SettingError: one of them says that something must be changed first.
    """
    lifeline, held = os.pipe()  # no child inherits the end that we hold
    folder = unprivileged.short_folder(f"godot-otel-collect-{os.getpid()}")
    unprivileged.own_folder(folder, 0o700)
    workers = [
        _Worker(
            f"collector {number}",
            arguments,
            environ=ports.of_collector(number, os.environ),
            notify=folder / f"{number}.sock",
            lifeline=lifeline,
        )
        for number in range(1, count + 1)
    ]
    try:
        _watch(workers)
    finally:
        os.close(held)
        os.close(lifeline)
        shutil.rmtree(folder, ignore_errors=True)


def _watch(workers: Sequence[_Worker]) -> None:
    announced = False

    def ready() -> None:
        nonlocal announced
        if not announced and all(worker.answers() for worker in workers):
            announced = True
            notify.ready()

    supervisor = Supervisor(
        workers, _Log(), launched=lambda: None, ready=ready, started=False
    )
    with StopRequest() as stop:
        try:
            supervisor.run(stop)
        except _MustChange as error:
            raise SettingError(str(error)) from None
        finally:
            part.stop_all(workers, STOP_TIMEOUT)


def stop_without_parent(
    loop: asyncio.AbstractEventLoop, stop: Callable[[], None]
) -> None:
    """In a worker, call *stop* when its parent is gone; elsewhere do nothing."""
    if _WORKER not in os.environ:
        return

    def gone() -> None:
        loop.remove_reader(sys.stdin)
        _tidy(Path(os.environ["NOTIFY_SOCKET"]))
        stop()

    loop.add_reader(sys.stdin, gone)


def _tidy(socket: Path) -> None:
    """Remove our socket, and the folder of all workers' unless others' are there."""
    socket.unlink(missing_ok=True)
    with suppress(OSError):
        socket.parent.rmdir()
