"""Locks between processes that no fork, crash or stopped process can turn into a trap.

``flock``: gone with its owner. A forked child shares its parent's descriptors and would
keep a lock of a parent that died; so it closes them at once.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PAUSE_SECONDS = 0.005
_held: set[int] = set()


def hold(descriptor: int) -> int:
    """Keep *descriptor* out of forked children; ``release`` must follow."""
    _held.add(descriptor)
    return descriptor


def release(descriptor: int) -> None:
    """Unlock and close; does nothing in a child that was forked meanwhile."""
    if descriptor in _held:
        _held.discard(descriptor)
        # Unlocked first: a child that was forked before it was held keeps it open.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def take(descriptor: int, *, wait_seconds: float = 0.0) -> bool:
    """Lock *descriptor*; False when somebody else still has it after *wait_seconds*.

    Where the file system knows no locks it counts as taken.
    """
    ends = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends:
                return False
            time.sleep(_PAUSE_SECONDS)
        except OSError:
            return True
        else:
            return True


@contextmanager
def locked(descriptor: int, *, wait_seconds: float = 0.0) -> Iterator[bool]:
    """Lock an open file for a while, and close it; says whether that succeeded."""
    hold(descriptor)
    try:
        yield take(descriptor, wait_seconds=wait_seconds)
    finally:
        release(descriptor)


def _close_in_child() -> None:
    for descriptor in tuple(_held):
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)
