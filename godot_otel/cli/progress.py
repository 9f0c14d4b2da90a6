"""How far a long command is, on a terminal; nothing where nobody looks."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

_INTERVAL_SECONDS = 0.1


class Progress:
    """One line on stderr that is written over and over, and is gone at the end."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Show *text*, unless another one is on the line for less than 0.1 s."""
        now = time.monotonic()
        if self._terminal and now - self._shown >= _INTERVAL_SECONDS:
            self._shown = now
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away; what is printed next stands at its place."""
        if self._shown:
            self._shown = 0.0
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
