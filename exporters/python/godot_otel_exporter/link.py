"""The thread that talks to the queue: batches first, then everything else.

It sends what the exporters of both signals encoded, replays the spool once the queue is
back, learns the levels set at run time, and tells the queue that this process lives.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from contextlib import suppress

from opentelemetry.instrumentation.utils import suppress_instrumentation

from godot_otel.errors import RetryableError
from godot_otel.queue import Entry
from godot_otel_exporter.counters import NO_LOSSES, losses
from godot_otel_exporter.diagnostics import report
from godot_otel_exporter.encode import Batch
from godot_otel_exporter.levels import Levels
from godot_otel_exporter.memory import Flush
from godot_otel_exporter.sender import Sender

INBOX_ENTRIES = 4
LEVELS_SECONDS = 4.0
PRESENCE_SECONDS = 30.0
_FIRST_CONTACT_SECONDS = 1.0  # so that a program of a moment contacts nobody for it
_ROUND_SECONDS = 0.1
_SPOOL_SECONDS, _SHARE_SECONDS = 1.0, 0.01
_IDLE_SECONDS = 0.5
_ROOM_SECONDS, _GLANCE_SECONDS = 0.25, 0.002


_COUNTERS = Batch(b"", 0)
"""An entry with no records brings the counters of both signals."""


class _Farewell(Flush):
    """The mark behind which this process is taken off the list."""


class Link:
    """The thread of one destination; it starts when it is needed."""

    def __init__(self, sender: Sender, destination: object) -> None:
        self.sender = sender
        self.destination = destination
        self.signals: set[str] = set()
        """What it was made for: an exporter of each."""
        self.in_use: set[str] = set()
        """Those of them whose exporters have not been shut down."""
        self._levels = Levels(sender.counters.service)
        self._begin()

    def _begin(self) -> None:
        self._inbox: queue.SimpleQueue[Entry | Flush | None] = queue.SimpleQueue()
        self._hand: Entry | None = None
        self._on_the_way: deque[None] = deque()  # counts what was put, until it is done
        self._handled, self._stuck_at = 0, -1
        self._starting = threading.RLock()
        self._over = False
        self._thread: threading.Thread | None = None
        self._learnt: int | None = None
        self._told = NO_LOSSES
        self._registered = False
        self._next_level = time.monotonic() + _FIRST_CONTACT_SECONDS
        self._next_presence = self._next_level
        self._next_spool = 0.0

    def _after_fork(self) -> None:
        """Begin life in a forked child, with a thread if the parent had one."""
        self.sender.after_fork()
        had = self._thread is not None
        self._begin()
        if had:
            self.start()

    def named(self, service: str) -> None:
        """Say which service this is; levels are set by that name."""
        if service != self.sender.counters.service:
            self.sender.counters.service = service
            self._levels = Levels(service)

    def start(self) -> None:
        """Start the thread unless it runs; at interpreter exit there is none."""
        if self._thread is not None or self._over:
            return
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name="godot-otel-link", daemon=True
                )
                self._thread = thread
                try:
                    thread.start()
                except RuntimeError:  # the interpreter ends, or a limit of the system
                    self._thread = None

    def offer(self, entry: Entry) -> bool:
        """Take a batch to send; False while the queue is slow or away.

        Waits for room for 0.25 s, but not again before the thread has moved.
        """
        if self.sender.open or not self._has_room():
            return False
        self._put(entry)
        return True

    def _has_room(self) -> bool:
        ends = time.monotonic() + _ROOM_SECONDS
        while self._inbox.qsize() >= INBOX_ENTRIES:
            if self._stuck_at == self._handled:
                return False
            if self.sender.open or time.monotonic() >= ends:
                self._stuck_at = self._handled
                return False
            time.sleep(_GLANCE_SECONDS)
        return True

    def forward(self, mark: Flush) -> None:
        """Let *mark* arrive once every batch before it is in the queue or the spool."""
        self._put(mark)

    def _put(self, item: Entry | Flush) -> None:
        self._on_the_way.append(None)
        self._inbox.put(item)
        self.start()
        if self._thread is None:
            self._empty()

    def leave(self, timeout: float) -> None:
        """Have the thread take this process off the list of those that live."""
        if self._registered and self._thread is not None:
            mark = _Farewell()
            self._put(mark)
            mark.wait(timeout)

    def pending(self) -> bool:
        """Say whether a batch is on its way."""
        return bool(self._on_the_way)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until no batch is on its way; False when *timeout_millis* passed."""
        if not self._on_the_way:
            return True
        mark = Flush()
        self._put(mark)
        return mark.wait(timeout_millis / 1000)

    def release(self, signal: str, timeout: float) -> None:
        """Let what is on its way arrive; the last signal that goes ends the thread."""
        self.in_use.discard(signal)
        if self.in_use:
            self.force_flush(int(timeout * 1000))
        else:
            self.close(timeout)

    def close(self, timeout: float) -> None:
        """End the thread within *timeout* seconds; what is left goes to the spool."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(None)
            # Without a batch it asks whether the queue is back: nobody waits for that.
            thread.join(timeout if self._on_the_way else min(timeout, _IDLE_SECONDS))
            if thread.is_alive() and (hand := self._hand) is not None:
                # It hangs in an attempt that may succeed after all: the ledger
                # recognises the second one by its id.
                self.sender.keep(hand)
        while not self._inbox.empty():
            item = self._inbox.get()
            if isinstance(item, Entry):
                self.sender.keep(item)
            elif item is not None:
                item.arrive()
        self._on_the_way.clear()
        if thread is None or not thread.is_alive():
            self._say_goodbye()
        while (lost := self.sender.window.take()) is not None:
            self.sender.keep(lost)
        if not self._over:
            self.sender.close()

    def last_threads(self) -> None:
        """Start no thread any more: what comes is sent by who brings it."""
        self._over = True

    def end(self, timeout: float) -> None:
        """Have no thread any more; see ``Batcher.end``."""
        self.last_threads()
        self.close(timeout)

    def _run(self) -> None:
        inbox = self._inbox
        with suppress_instrumentation():
            while True:
                try:
                    item = inbox.get(timeout=self._until_next())
                except queue.Empty:
                    pass
                else:
                    if item is None:
                        return
                    self._handle(item)
                # Whoever closed did not wait long enough, and may have taken our None.
                if self._thread is not threading.current_thread() and inbox.empty():
                    return
                try:
                    self._upkeep()
                except RetryableError:
                    self.sender.failed()
                except Exception as error:
                    report("internal", "upkeep failed: %s", type(error).__name__)
                    time.sleep(1)

    def _empty(self) -> None:
        """Do the thread's work here: no thread can be started any more."""
        with suppress_instrumentation():
            while not self._inbox.empty():
                item = self._inbox.get()
                if item is not None:
                    self._handle(item)

    def _handle(self, item: Entry | Flush) -> None:
        if isinstance(item, _Farewell):
            self._say_goodbye()
        if isinstance(item, Flush):
            item.arrive()
        else:
            self._send(item)
        self._handled += 1
        with suppress(IndexError):  # close() has accounted for it
            self._on_the_way.popleft()

    def _send(self, entry: Entry) -> None:
        self._hand = entry
        try:
            if self.sender.send(entry):
                self._told = losses(entry.source)
        except Exception as error:
            report("internal", "sending failed: %s", type(error).__name__)
            self.sender.counters.drop("internal", entry.records)
        finally:
            self._hand = None

    def _until_next(self) -> float:
        sender = self.sender
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

    def _upkeep(self) -> None:
        sender, now = self.sender, time.monotonic()
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
        version = self.sender.level_version
        producer = self.sender.producer()
        if producer is None or version is None or version == self._learnt:
            return
        if version or self._learnt is not None:
            self._levels.learn(producer.levels())
            self._next_presence = 0.0
        self._learnt = version

    def _show_presence(self) -> None:
        """Register this process, and send its counters if no batch has brought them."""
        self._next_presence = time.monotonic() + PRESENCE_SECONDS
        sender = self.sender
        producer = sender.producer()
        if producer is None or not sender.heard:
            return
        producer.register(sender.counters.instance, self._levels.facts())
        self._registered = True
        self._tell_counters()

    def _tell_counters(self) -> None:
        """Send what was lost or spooled; what was emitted goes with its batches."""
        source = self.sender.counters.source()
        if losses(source) == self._told:
            return
        if self.sender.attempt(
            self.sender.entry(_COUNTERS, encoding=b"", signal=b"logs")
        ):
            self._told = losses(source)

    def _resend(self, seconds: float = _ROUND_SECONDS) -> bool:
        """Send again what a server that died may have lost; False when it is away."""
        sender, ends = self.sender, time.monotonic() + seconds
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
        sender, began, first = self.sender, time.monotonic(), 0.0

        def send(entry: Entry) -> bool:
            nonlocal first
            now = time.monotonic()
            first = first or now  # many files take a while to be looked through
            turn = seconds if self._inbox.empty() else _SHARE_SECONDS
            return now - first <= turn and sender.attempt(entry)

        self._next_spool = began + _SPOOL_SECONDS
        if sender.replay(send) and not sender.open:
            now = time.monotonic()
            busy = not self._inbox.empty()
            self._next_spool = now + 4 * (now - began) if busy else 0.0

    def _say_goodbye(self) -> None:
        sender = self.sender
        if sender.open or not sender.heard:
            return
        try:
            with suppress_instrumentation():
                if not self._resend(_IDLE_SECONDS):
                    return
                self._tell_counters()
                if sender.counters.spooled:
                    self._replay(_IDLE_SECONDS)  # this may be the last of the programs
                producer = sender.producer()
                if producer is not None and self._registered:
                    producer.unregister(sender.counters.instance)
                    self._registered = False
        except RetryableError:
            return
