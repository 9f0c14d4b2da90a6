"""How the threads that encode let those of the application run."""

from __future__ import annotations

import time

_SECONDS = 50e-6


def give_way(number: int, every: int = 64) -> None:
    """Step aside for a moment before each item whose number is a multiple of *every*.

    Threads of the application wait for the interpreter while this one runs, by default
    for 5 ms; so it steps aside more often. But where they never pause, each time costs
    it 5 ms, in which more items come than it has just encoded if these were too few.
    """
    if number % every == 0:
        time.sleep(_SECONDS)
