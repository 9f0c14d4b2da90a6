"""Our own commands as parts of the stack: they say themselves when they are ready."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from godot_otel.errors import GodotError, SettingError
from godot_otel.stack.part import Part


class Program(Part):
    """A command that sends READY=1 to NOTIFY_SOCKET (sd_notify) once it works.

    *notify* is the path of that socket; it must be short, as all socket paths.
    """

    def __init__(
        self,
        title: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        log: Path,
        notify: Path,
    ) -> None:
        super().__init__(title, log)
        self._command = list(command)
        self._environ = {**environ, "NOTIFY_SOCKET": str(notify)}
        self._notify = notify
        self._socket: socket.socket | None = None
        self._ready = False

    def launch(self) -> None:
        """Start the process without waiting for it."""
        self._close()
        self._ready = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(self._notify))
        self._spawn(self._command, self._environ)

    def answers(self) -> bool:
        """Whether it has said that it is ready."""
        while self._socket is not None and not self._ready:
            try:
                said = self._socket.recv(4096)
            except BlockingIOError:
                break
            self._ready = b"READY=1" in said.split(b"\n")
        if self._ready:
            self._close()
        return self._ready and self.alive()

    def failure(self) -> GodotError:
        """Pass on what it said: its status 2 is for a person to act on."""
        if self.process is not None and self.process.returncode == 2:
            return SettingError(f"{self.title}: {self.last_words()}")
        return super().failure()

    def tidy(self) -> None:
        """Remove the socket."""
        self._close()

    def forget(self) -> None:
        """Let the process run on without us."""
        self._close()
        self.process = None

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._notify.unlink(missing_ok=True)
