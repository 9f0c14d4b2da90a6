"""How a process begins, forks and ends, without losing what it has logged.

Interpreter exit, ``os._exit`` (which ends children of ``multiprocessing`` and workers
of Celery) and SIGTERM each flush first, for a few seconds at most. Exit status, output
and the order of the application's own last acts stay as they are without us.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
import weakref
from types import FrameType
from typing import Any, NoReturn, Protocol

FLUSH_SECONDS = 4.5
"""For a process's end; with what else it does there, below the promised 5 s."""
_EXIT_SECONDS = 2.0


class Watched(Protocol):
    """What holds records of this process."""

    def pending(self) -> bool:
        """Say whether anything is on its way."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until nothing is; False when the time is up."""

    def _after_fork(self) -> None:
        """Forget what the parent holds: the parent sends it."""


_watched: weakref.WeakSet[Any] = weakref.WeakSet()


def watch(watched: Watched) -> None:
    """Flush *watched* when the process ends, renew it in forked children."""
    _watched.add(watched)


def force_flush(timeout: float = 5.0) -> bool:
    """Wait until the queue, or the disk, holds every record logged before.

    For places where a process may be frozen or killed next, such as the end of a
    serverless invocation. Returns False when *timeout* seconds passed before.
    """
    ends = time.monotonic() + timeout
    flushed = [
        watched.force_flush(int(max(0.0, ends - time.monotonic()) * 1000))
        for watched in list(_watched)
    ]
    return all(flushed)


def guard_ends() -> None:
    """Flush at every end of this process that lets us; call it once, early.

    What is registered first with atexit runs last: after the application's own.
    """
    atexit.register(_flush_at_exit)
    os._exit = _exit_flushed
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _terminate)


def _flush_at_exit() -> None:
    if any(watched.pending() for watched in list(_watched)):
        force_flush(FLUSH_SECONDS)


_exit = os._exit


def _exit_flushed(status: int) -> NoReturn:
    try:
        if any(watched.pending() for watched in list(_watched)):
            force_flush(_EXIT_SECONDS)
    finally:
        _exit(status)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Flush, then die of the signal as a process without a handler does.

    The flushing is done by other threads: this one may have been interrupted while it
    held any lock. They wait for such a lock no longer than we wait for them.
    """
    signal.signal(number, signal.SIG_DFL)
    _flush_at_exit()
    os.kill(os.getpid(), number)


def _after_fork() -> None:
    for watched in list(_watched):
        watched._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
