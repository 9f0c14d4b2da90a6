"""Ctrl-C and SIGTERM as a question that can be asked, and waited for."""

from __future__ import annotations

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Any, Self


class Stopped(Exception):
    """Somebody asked to stop while the stack was starting."""


class StopRequest:
    """Collects SIGINT, SIGTERM and SIGHUP while it is entered.

    They raise nothing by themselves: an exception between the start of a process and
    the note of its pid would leave the process behind.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._bell, ringer = socket.socketpair()
        self._ringer = ringer
        for end in (self._bell, ringer):
            end.setblocking(False)
        # Wakes select() also when the signal comes just before it.
        signal.set_wakeup_fd(ringer.fileno(), warn_on_full_buffer=False)
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before = signal.getsignal(signum)
            if signum == signal.SIGHUP and before == signal.SIG_IGN:  # nohup
                continue
            self._before[signum] = before
            signal.signal(signum, self._request)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, before in self._before.items():
            signal.signal(signum, before)
        signal.set_wakeup_fd(-1)
        self._bell.close()
        self._ringer.close()

    def _request(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True

    def wait(self, seconds: float) -> bool:
        """Sleep, at most until somebody asks to stop; return whether somebody did."""
        if not self.requested and select.select([self._bell], [], [], seconds)[0]:
            self._bell.recv(64)
        return self.requested

    def sleep(self, seconds: float) -> None:
        """Sleep; raise Stopped as soon as somebody asks to stop."""
        if self.wait(seconds):
            raise Stopped
