"""How much one caller may ask: a bucket of requests that fills again, few at once.

A caller that goes too far is told when to come back; the others notice nothing of it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator

from godot_otel.errors import RetryableError

BURST = 60  # requests that may come together
PER_SECOND = 20.0  # how fast the bucket fills again
AT_ONCE = 8  # requests of one caller that are being answered


class RateLimitError(RetryableError):
    """Too many requests; *retry_after* says in how many whole seconds to come back."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"rate limit, retry after {retry_after} s")
        self.retry_after = retry_after


class Turns:
    """The turns of one caller."""

    def __init__(self, burst: int, per_second: float, at_once: int) -> None:
        self._burst, self._per_second, self._at_once = burst, per_second, at_once
        self._left = float(burst)
        self._at = time.monotonic()
        self._running = self._streaming = 0

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Take a turn for one answer.

        Raises:
            RateLimitError: there is none left now, or too many are being answered.
        """
        self._spend(self._running)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Take one for an answer without end; those are counted by themselves, so that
        they do not keep the caller from asking.

        Raises:
            RateLimitError: as ``take``.
        """
        self._spend(self._streaming)
        self._streaming += 1
        try:
            yield
        finally:
            self._streaming -= 1

    def _spend(self, running: int) -> None:
        if running >= self._at_once:
            raise RateLimitError(1)
        now = time.monotonic()
        filled = self._left + (now - self._at) * self._per_second
        self._left, self._at = min(float(self._burst), filled), now
        if self._left < 1:
            raise RateLimitError(math.ceil((1 - self._left) / self._per_second))
        self._left -= 1


class Limits:
    """The turns of every caller of one server, by name."""

    def __init__(
        self,
        *,
        burst: int = BURST,
        per_second: float = PER_SECOND,
        at_once: int = AT_ONCE,
    ) -> None:
        self._numbers = (burst, per_second, at_once)
        self._turns: dict[str, Turns] = {}  # as many as there are tokens

    def of(self, name: str) -> Turns:
        """The turns of the caller of that name."""
        return self._turns.setdefault(name, Turns(*self._numbers))
