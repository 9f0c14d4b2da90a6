"""How a process begins, forks and ends, without losing what it has logged.

Interpreter exit, ``os._exit`` (which ends children of ``multiprocessing`` and workers
of Celery), ``os.exec*`` and SIGTERM each flush first, for a few seconds at most. Exit
status, output and the order of the application's own last acts stay as they are
without us.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn, Protocol

FLUSH_SECONDS = 4.5
"""For a process's end; with what else it does there, below the promised 5 s."""
_LEAVE_SECONDS = 0.5


class Watched(Protocol):
    """What holds records of this process."""

    def pending(self) -> bool:
        """Say whether anything is on its way."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until nothing is; False when the time is up."""

    def end(self, timeout: float) -> None:
        """Have no thread any more; what is logged later is sent by who logs it."""

    def leave(self, timeout: float) -> None:
        """Tell the queue that this process ends, for up to *timeout* seconds."""

    def _after_fork(self) -> None:
        """Forget what the parent holds: the parent sends it."""


_exit, _own_signal, _own_getsignal = os._exit, signal.signal, signal.getsignal
_execv, _execve = os.execv, os.execve
_watched: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()
_ends: float | None = None


def watch(watched: Watched) -> None:
    """Flush *watched* when the process ends, renew it in forked children.

    What is watched first ends last: a link before the processors that use it.
    """
    _watched[watched] = None


def _all() -> list[Watched]:
    return list(_watched)[::-1]


def force_flush(timeout: float = 5.0) -> bool:
    """Wait until the queue, or the disk, holds every record logged before.

    For places where a process may be frozen or killed next, such as the end of a
    serverless invocation. Returns False when *timeout* seconds passed before.
    """
    ends = time.monotonic() + timeout
    flushed = [
        watched.force_flush(int(max(0.0, ends - time.monotonic()) * 1000))
        for watched in _all()
    ]
    return all(flushed)


def guard_ends() -> None:
    """Flush at every end of this process that lets us; call it once, early.

    What is registered first with atexit runs last: after the application's own.
    """
    atexit.register(_end)
    os._exit = _exit_flushed
    # The other six of the family are made of these two.
    os.execv, os.execve = _flushed_before(_execv), _flushed_before(_execve)
    signal.signal = _set_handler
    signal.getsignal = _handler
    if (
        threading.current_thread() is threading.main_thread()
        and _own_getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        _own_signal(signal.SIGTERM, _terminate)


def _left() -> float:
    """Say how long this process, whose end has begun, may still take for it."""
    global _ends
    if _ends is None:
        _ends = time.monotonic() + FLUSH_SECONDS
    return max(0.0, _ends - time.monotonic())


def _flush_at_end() -> None:
    if any(watched.pending() for watched in _all()):
        force_flush(_left())


def _leave() -> None:
    """Flush and say goodbye, where the interpreter gets no time for its own end."""
    _flush_at_end()
    for watched in _all():
        watched.leave(min(_LEAVE_SECONDS, _left()))


def _end() -> None:
    """Flush, and leave no thread: a dying interpreter would freeze it at work.

    Callbacks that were registered before us run after this, and finalizers; what they
    log is sent at once.
    """
    for watched in _all():
        watched.end(_left())
    # The distro froze what was there before the application; what is frozen is not
    # finalized, and the application's main module was there by then.
    gc.unfreeze()


def _exit_flushed(status: int) -> NoReturn:
    try:
        _leave()
    finally:
        _exit(status)


def _flushed_before(replace: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
    """Flush before another program takes the process: a reload, a supervisor."""

    @functools.wraps(replace)
    def flushed(*args: Any, **kwargs: Any) -> NoReturn:
        global _ends
        _flush_at_end()
        try:
            replace(*args, **kwargs)
        finally:  # there is no such program: this one goes on
            _ends = None

    return flushed


def _terminate(number: int, frame: FrameType | None) -> None:
    """Flush, then die of the signal as a process without a handler does.

    The flushing is done by other threads: this one may have been interrupted while it
    held any lock. They wait for such a lock no longer than we wait for them.
    """
    global _ends
    _own_signal(number, signal.SIG_DFL)
    _leave()
    os.kill(os.getpid(), number)
    # Alive: the first process of a container does not die of it, with or without us.
    _own_signal(number, _terminate)
    _ends = None


def _set_handler(signalnum: int, handler: Any) -> Any:
    """Whoever takes SIGTERM's default back gets it, with the flush before."""
    default = isinstance(handler, int) and handler == signal.SIG_DFL
    ours = _terminate if signalnum == signal.SIGTERM and default else handler
    return _shown(_own_signal(signalnum, ours))


def _handler(signalnum: int) -> Any:
    return _shown(_own_getsignal(signalnum))


def _shown(handler: Any) -> Any:
    return signal.SIG_DFL if handler is _terminate else handler


def _after_fork() -> None:
    global _ends
    _ends = None
    for watched in _all():
        watched._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
