"""One process of the stack: how every part is started, waited for and ended."""

from __future__ import annotations

import pwd
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from godot_otel.errors import GodotError
from godot_otel.stack import processes

POLL_INTERVAL = 0.05
STOP_TIMEOUT = 8.0


class Part(ABC):
    """A process that is launched, answers at some time, and can end at any time."""

    start_timeout: ClassVar[float] = 60.0
    stop_signal: ClassVar[int] = signal.SIGTERM
    kill_signal: ClassVar[int] = signal.SIGKILL

    def __init__(self, title: str, log: Path) -> None:
        self.title = title
        self.log = log
        self.process: processes.Process | None = None
        self.said_before = 0

    @abstractmethod
    def launch(self) -> None:
        """Start the process without waiting for it."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it does its work by now."""

    @property
    def pid(self) -> int | None:
        """The process; None when it does not run."""
        return self.process.pid if self.process and self.alive() else None

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def start(
        self,
        timeout: float | None = None,
        *,
        launched: Callable[[], None] = lambda: None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Launch the process; return when it answers.

        *launched* is called once there is a pid. *wait* sleeps, and may raise to give
        up.

        Raises:
            GodotError: it ended or did not answer; the message holds its last words.
        """
        self.launch()
        launched()
        timeout = self.start_timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        while not self.answers():
            if not self.alive():
                raise self.failure()
            if time.monotonic() > deadline:
                self.stop()
                raise GodotError(
                    f"{self.title} did not answer within {timeout:g} s: see {self.log}."
                )
            wait(POLL_INTERVAL)

    def failure(self) -> GodotError:
        """Return what to raise when the process ended instead of answering."""
        return GodotError(f"{self.title} ended while starting: {self.last_words()}")

    def ending(self) -> str:
        """Say how the process ended."""
        status = self.process.returncode if self.process else None
        if status is not None and status < 0:
            return f"{self.title} was ended by {signal.Signals(-status).name}"
        return f"{self.title} ended with status {status}: {self.last_words()}"

    def last_words(self) -> str:
        """Return what the process said at last, and where it said more."""
        said = processes.last_words(self.log, since=self.said_before)
        return f"{said or 'it said nothing'} ({self.log})"

    def _spawn(
        self,
        command: Sequence[str | Path],
        environ: Mapping[str, str],
        account: pwd.struct_passwd | None = None,
    ) -> None:
        processes.rotate(self.log)
        self.said_before = self.log.stat().st_size if self.log.exists() else 0
        self.process = processes.spawn(
            command, log=self.log, environ=environ, account=account
        )

    def tidy(self) -> None:  # noqa: B027 # most parts leave nothing behind
        """Remove what an ended process leaves behind."""

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """End the process; kill it when *timeout* has passed."""
        stop_all([self], timeout)


def stop_all(parts: Iterable[Part], timeout: float = STOP_TIMEOUT) -> None:
    """Ask all *parts* to end at once, wait, and kill those that have not."""
    running = [part for part in parts if part.process is not None]
    for part in running:
        assert part.process is not None
        part.process.send_signal(part.stop_signal)  # does nothing to an ended one
    deadline = time.monotonic() + timeout
    for part in running:
        assert part.process is not None
        left = max(0.0, deadline - time.monotonic())
        processes.wait_or_kill(part.process, left, part.kill_signal)
        part.process = None
        part.tidy()
