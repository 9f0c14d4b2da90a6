"""What the link's thread does between batches.

It replays the spool once the queue is back, sends again what a server may have lost,
learns the levels set at run time, and tells the queue that this process lives.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from opentelemetry.instrumentation.utils import suppress_instrumentation

from godot_otel.errors import RetryableError
from godot_otel.queue import Entry
from godot_otel_exporter.counters import NO_LOSSES, losses
from godot_otel_exporter.encode import Batch
from godot_otel_exporter.levels import Levels
from godot_otel_exporter.sender import Sender

LEVELS_SECONDS = 4.0
PRESENCE_SECONDS = 30.0
FAREWELL_SECONDS = 0.5
_FIRST_CONTACT_SECONDS = 1.0  # so that a program of a moment contacts nobody for it
_ROUND_SECONDS = 0.1
_SPOOL_SECONDS, _SHARE_SECONDS = 1.0, 0.01

_COUNTERS = Batch(b"", 0)
"""An entry with no records brings the counters of both signals."""


class Upkeep:
    """Knows what is due when; *busy* says whether batches wait, which go first."""

    def __init__(self, sender: Sender, busy: Callable[[], bool]) -> None:
        self._sender = sender
        self._busy = busy
        self._levels = Levels(sender.counters.service)
        self.begin()

    def begin(self) -> None:
        """Begin life in this process; a forked child goes on with the same levels."""
        self.registered = False
        """Whether the queue has this process on its list."""
        self._learnt: int | None = None
        self._told = NO_LOSSES
        self._next_level = time.monotonic() + _FIRST_CONTACT_SECONDS
        self._next_presence = self._next_level
        self._next_spool = 0.0

    def named(self, service: str) -> None:
        """Say which service this is; levels are set by that name."""
        if service != self._sender.counters.service:
            self._sender.counters.service = service
            self._levels = Levels(service)

    def told(self, entry: Entry) -> None:
        """Take note that *entry* brought its counters to the queue."""
        self._told = losses(entry.source)

    def until_next(self) -> float:
        """Say in how many seconds ``run`` has something to do."""
        sender = self._sender
        if sender.open:
            times = [sender.next_probe]
        elif sender.window.lost:
            return 0.0
        else:
            times = [self._next_level, self._next_presence]
            if sender.heard:
                times.append(self._next_spool)
        if (expiry := self._levels.next_expiry) is not None:
            times.append(expiry)
        return max(0.0, min(times) - time.monotonic())

    def run(self) -> None:
        """Do what is due; raises RetryableError when the queue does not answer."""
        sender, now = self._sender, time.monotonic()
        expiry = self._levels.next_expiry
        if expiry is not None and now >= expiry and self._levels.tick():
            self._next_presence = 0.0
        if sender.open:
            if not sender.probe():
                return
            self._next_spool = 0.0
        elif (
            now >= self._next_level
            and now - sender.heard >= LEVELS_SECONDS
            and not sender.probe()
        ):
            return
        self._next_level = sender.heard + LEVELS_SECONDS
        if sender.window.lost and not self._resend():
            return
        self._follow_levels()
        if now >= self._next_presence:
            self._show_presence()
        if sender.heard and now >= self._next_spool:
            self._replay()

    def _follow_levels(self) -> None:
        version = self._sender.level_version
        producer = self._sender.producer()
        if producer is None or version is None or version == self._learnt:
            return
        if version or self._learnt is not None:
            self._levels.learn(producer.levels())
            self._next_presence = 0.0
        self._learnt = version

    def _show_presence(self) -> None:
        """Register this process, and send its counters if no batch has brought them."""
        self._next_presence = time.monotonic() + PRESENCE_SECONDS
        sender = self._sender
        producer = sender.producer()
        if producer is None or not sender.heard:
            return
        producer.register(sender.counters.instance, self._levels.facts())
        self.registered = True
        self._tell_counters()

    def _tell_counters(self) -> None:
        """Send what was lost or spooled; what was emitted goes with its batches."""
        source = self._sender.counters.source()
        if losses(source) == self._told:
            return
        if self._sender.attempt(
            self._sender.entry(_COUNTERS, encoding=b"", signal=b"logs")
        ):
            self._told = losses(source)

    def _resend(self, seconds: float = _ROUND_SECONDS) -> bool:
        """Send again what a server that died may have lost; False when it is away."""
        sender, ends = self._sender, time.monotonic() + seconds
        while time.monotonic() < ends and (entry := sender.window.take()) is not None:
            if not sender.attempt(entry):
                sender.window.give_back(entry)
                return False
        return True

    def _replay(self, seconds: float = _ROUND_SECONDS) -> None:
        """Send what waits on disk, for a moment.

        New batches have precedence, but leave a fifth of the time: where they never
        stop coming, the spool would fill up beside a queue that has room.
        """
        sender, began, first = self._sender, time.monotonic(), 0.0

        def send(entry: Entry) -> bool:
            nonlocal first
            now = time.monotonic()
            first = first or now  # many files take a while to be looked through
            turn = _SHARE_SECONDS if self._busy() else seconds
            return now - first <= turn and sender.attempt(entry)

        self._next_spool = began + _SPOOL_SECONDS
        if sender.replay(send) and not sender.open:
            now = time.monotonic()
            self._next_spool = now + 4 * (now - began) if self._busy() else 0.0

    def say_goodbye(self) -> None:
        """Tell the queue what it does not know yet, and that this process ends."""
        sender = self._sender
        if sender.open or not sender.heard:
            return
        try:
            with suppress_instrumentation():
                if not self._resend(FAREWELL_SECONDS):
                    return
                self._tell_counters()
                if sender.counters.spooled:
                    # This may be the last of the programs.
                    self._replay(FAREWELL_SECONDS)
                if self.registered and (producer := sender.producer()) is not None:
                    producer.unregister(sender.counters.instance)
                    self.registered = False
        except RetryableError:
            return
