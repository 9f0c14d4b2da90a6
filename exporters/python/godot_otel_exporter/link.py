"""The thread that talks to the queue: batches first, then everything else.

It sends what the exporters of both signals encoded; the rest is in ``upkeep``.
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
from godot_otel_exporter.diagnostics import report
from godot_otel_exporter.memory import Flush
from godot_otel_exporter.sender import Sender
from godot_otel_exporter.upkeep import FAREWELL_SECONDS, Upkeep

INBOX_ENTRIES = 4
_ROOM_SECONDS, _GLANCE_SECONDS = 0.25, 0.002


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
        self._upkeep = Upkeep(sender, lambda: not self._inbox.empty())
        self._begin()

    def _begin(self) -> None:
        self._inbox: queue.SimpleQueue[Entry | Flush | None] = queue.SimpleQueue()
        self._hand: Entry | None = None
        self._on_the_way: deque[None] = deque()  # counts what was put, until it is done
        self._handled, self._stuck_at = 0, -1
        self._starting = threading.RLock()
        self._over = False
        self._thread: threading.Thread | None = None

    def _after_fork(self) -> None:
        """Begin life in a forked child, with a thread if the parent had one."""
        self.sender.after_fork()
        self._upkeep.begin()
        had = self._thread is not None
        self._begin()
        if had:
            self.start()

    def named(self, service: str) -> None:
        """Say which service this is; levels are set by that name."""
        self._upkeep.named(service)

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
        if self._upkeep.registered and self._thread is not None:
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
            thread.join(timeout if self._on_the_way else min(timeout, FAREWELL_SECONDS))
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
            self._upkeep.say_goodbye()
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
                    item = inbox.get(timeout=self._upkeep.until_next())
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
                    self._upkeep.run()
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
            self._upkeep.say_goodbye()
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
                self._upkeep.told(entry)
        except Exception as error:
            report("internal", "sending failed: %s", type(error).__name__)
            self.sender.counters.drop("internal", entry.records)
        finally:
            self._hand = None
