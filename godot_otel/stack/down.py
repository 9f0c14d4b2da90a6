"""Ends the stack of a data directory from another terminal, and deletes its data."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from godot_otel import state
from godot_otel.errors import GodotError
from godot_otel.stack import processes, record
from godot_otel.stack.directory import DataDirectory

UP_TIMEOUT = 20.0  # it promises 10 s; and a busy machine


def down(directory: DataDirectory) -> bool:
    """End what runs, also what a killed `up` left; return whether anything ran.

    Raises:
        GodotError: `up` did not end in time.
    """
    if not directory.processes.exists():
        return False
    ran = _end_up(directory)
    with directory.locked():
        state.remove(directory.path)
        directory.drop_sockets()
        return bool(record.end(directory.processes)) or ran


def _end_up(directory: DataDirectory) -> bool:
    living = record.read(directory.processes).get("up", {})
    for pid, born in living.items():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + UP_TIMEOUT
        while processes.birth(pid) == born:
            if time.monotonic() > deadline:
                raise GodotError(
                    f"`up` (pid {pid}) has not ended within {UP_TIMEOUT:g} s: kill -9"
                    f" {pid}, then run `godot-otel down` again."
                )
            time.sleep(0.05)
    return bool(living)


def wipe(directory: DataDirectory) -> None:
    """Delete what the stack made; it must be stopped.

    Raises:
        SettingError: the directory does not look like one of ours.
    """
    directory.check_ours()
    with directory.locked():
        directory.wipe()
