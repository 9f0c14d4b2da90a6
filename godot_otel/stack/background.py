"""``up -d``: another `up` without a terminal, watched until it works or ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from godot_otel.stack import part, unprivileged
from godot_otel.stack.directory import DataDirectory
from godot_otel.stack.program import Program
from godot_otel.stack.stack import OURSELVES
from godot_otel.stack.stop_request import StopRequest
from godot_otel.stack.up import check


def up(directory: DataDirectory, arguments: Sequence[str], output: TextIO) -> int:
    """Start `up` with *arguments* in the background; copy what it says to *output*.

    Return 0 once everything works, else the status that it ended with.
    """
    check(directory)
    directory.make()
    folder = unprivileged.short_folder(f"godot-otel-up-{os.getpid()}")
    unprivileged.own_folder(folder, 0o700)
    program = Program(
        "up",
        [*OURSELVES, "up", "--data-dir", str(directory.path), *arguments],
        environ=os.environ,
        log=directory.log("up"),
        notify=folder / "up.sock",
    )
    try:
        with StopRequest() as stop:
            return _watch(program, output, stop)
    finally:
        program.forget()
        folder.rmdir()


def _watch(program: Program, output: TextIO, stop: StopRequest) -> int:
    program.launch()
    assert program.process is not None
    with program.log.open(encoding="utf-8", errors="replace") as log:
        log.seek(program.said_before)
        while not program.answers() and program.alive():
            _copy(log.read(), output)
            if stop.wait(part.POLL_INTERVAL):
                program.stop(timeout=20.0)
                return 130
        _copy(log.read(), output)
    if program.alive():
        return 0
    return program.process.returncode


def _copy(text: str, output: TextIO) -> None:
    """Write what `up` said to *output*, and its errors where errors go."""
    for line in text.splitlines(keepends=True):
        (sys.stderr if line.startswith("godot-otel: ") else output).write(line)
    output.flush()
