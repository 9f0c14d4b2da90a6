"""How the threads that encode let those of the application run."""

from __future__ import annotations

import time

_MASK = 63
_SECONDS = 50e-6


def give_way(number: int) -> None:
    """Step aside for a moment before each 64th item.

    Threads of the application wait for the interpreter while this one runs, by default
    for 5 ms; so it steps aside far more often.
    """
    if number & _MASK == 0:
        time.sleep(_SECONDS)
