"""How the stack tells a person what it does; the command line decides how it looks."""

from __future__ import annotations

from typing import Protocol


class Announce(Protocol):
    """What the stack says while it starts and runs."""

    def working(self, what: str) -> None:
        """Say what is being done and may take a while."""

    def works(self, title: str, where: str) -> None:
        """Say that a part works; never before it does."""

    def trouble(self, sentence: str) -> None:
        """Say what went wrong and what happens next."""
