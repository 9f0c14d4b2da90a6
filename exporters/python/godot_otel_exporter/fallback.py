"""Lines that neither queue nor disk can take, as JSON on stderr or stdout.

The last resort: never through ``logging``, never an exception, and nobody waits long
for a terminal or pipe that nobody reads. The objects have the keys of
``godot-otel query --json``.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

from godot_otel.queue import Entry
from godot_otel_exporter.lines import lines

# A pipe takes this much in one piece: lines of several processes stay whole.
_PIECE_BYTES = getattr(select, "PIPE_BUF", 512)
_WAIT_SECONDS = 2.0


class Fallback:
    """Prints batches to *output*: ``stderr``, ``stdout`` or ``none``."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._torn = False
        self._stuck = False

    def write(self, entry: Entry) -> None:
        """Print one object a line for each record of *entry*, in plain ASCII.

        Never raises. Waits up to 2 s for whoever reads; then the rest is lost, and
        until it is read again nothing is waited for.
        """
        if self._output == "none":
            return
        with suppress(Exception):
            self._write(_pieces(lines(entry)))

    def _write(self, pieces: Iterator[bytes]) -> None:
        # Looked up each time: applications and test runners replace it.
        stream = getattr(sys, self._output, None)
        if stream is None:
            return
        descriptor = _descriptor(stream)
        if descriptor is None:
            for piece in pieces:
                stream.write(piece.decode())
            stream.flush()
            return
        # Beside the stream's own buffer: what could not be written would stay in there
        # and fail again at exit, which changes the application's exit status.
        ends = time.monotonic() + (0.0 if self._stuck else _WAIT_SECONDS)
        self._stuck = not _writable(descriptor, ends)
        if self._stuck:
            return
        stream.flush()
        for piece in chain([b"\n"] if self._torn else [], pieces):
            self._stuck = not self._write_piece(descriptor, piece, ends)
            if self._stuck:
                return

    def _write_piece(self, descriptor: int, piece: bytes, ends: float) -> bool:
        while piece:
            if not _writable(descriptor, ends):
                return False
            with suppress(BlockingIOError):
                piece = piece[os.write(descriptor, piece[:_PIECE_BYTES]) :]
                self._torn = bool(piece)
        return True


def _pieces(found: Iterator[bytes]) -> Iterator[bytes]:
    """Join lines to pieces that can be written at once; a long line is its own."""
    piece = b""
    for line in found:
        if piece and len(piece) + len(line) > _PIECE_BYTES:
            yield piece
            piece = b""
        piece += line
    if piece:
        yield piece


def _descriptor(stream: Any) -> int | None:
    try:
        found = stream.fileno()
    except Exception:  # a replacement in memory
        return None
    return found if isinstance(found, int) and found >= 0 else None


def _writable(descriptor: int, ends: float) -> bool:
    """Wait until a piece can be written without blocking; False when time is up."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(max(0.0, ends - time.monotonic()) * 1000))
