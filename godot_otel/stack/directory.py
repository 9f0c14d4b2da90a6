"""The data directory: where ``up`` keeps everything, and the lock of who runs it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from godot_otel import state
from godot_otel.errors import GodotError, SettingError
from godot_otel.stack import unprivileged
from godot_otel.stack.keys import Keys
from godot_otel.stack.postgres import Postgres

KEYS = "godot-otel.json"
LOCK = "up.lock"
PROCESSES = "processes.json"


class RunsAlready(GodotError):
    """Another `up` runs on this data directory."""


class DataDirectory:
    """One data directory and the paths in it; making one touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.keys = Keys(self.path / KEYS)
        self.processes = self.path / PROCESSES
        self.valkey = self.path / "valkey"
        self.postgres = self.path / "postgres"
        self.logs = self.path / "logs"
        self.spool = self.path / "spool"

    def log(self, name: str) -> Path:
        """Return the log file of the part called *name*."""
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Make the directory; raise SettingError when it cannot be written to."""
        try:
            unprivileged.new_folder(self.path)
            os.close(os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise SettingError(
                f"the data directory {self.path} cannot be used: {error.strerror}."
            ) from None

    @property
    def sockets(self) -> Path:
        """A short folder of the sockets our programs say on that they are ready."""
        name = f"godot-otel-{unprivileged.short_hash(self.path)}"
        return unprivileged.short_folder(name)

    def drop_sockets(self) -> None:
        """Remove that folder, also what a killed `up` left in it."""
        if self.sockets.is_dir() and self.sockets.stat().st_uid == os.geteuid():
            shutil.rmtree(self.sockets, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory; the kernel lets go when this process dies in any way.

        Raises:
            RunsAlready: another process holds it.
        """
        self.make()
        descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise RunsAlready(
                f"the stack of {self.path} runs already: see `godot-otel status`, end"
                " it with `godot-otel down`."
            ) from None
        try:
            yield
        finally:
            os.close(descriptor)

    def check_ours(self) -> None:
        """Raise SettingError when the directory does not look like one of ours."""
        if not self.keys.path.is_file():
            raise SettingError(
                f"{self.path} does not look like a data directory of godot-otel (it"
                f" has no {KEYS}): nothing was deleted."
            )

    def wipe(self) -> None:
        """Delete what the stack made here, and nothing else; it must be stopped."""
        self.check_ours()
        self.drop_sockets()
        Postgres(self.postgres, password="").wipe()  # which may lie elsewhere
        for folder in (self.valkey, self.logs, self.spool):
            shutil.rmtree(folder, ignore_errors=True)
        for name in (state.FILE, PROCESSES, LOCK, KEYS):  # KEYS last: says it is ours
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody else's files are in it
            self.path.rmdir()
