"""The queue in memory: bounded in records and in characters, without a lock.

A log call may happen in a signal's handler or in a finalizer, in the middle of another
log call of the same thread: ``deque`` and bare locks are safe there, a condition is
not.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from godot_otel_exporter._compat import ReadableLogRecord, attributes_of, has_more
from godot_otel_exporter.capture import Captured, characters

WAIT_SECONDS = 0.002
"""What a log call waits at most, while the queue is more than three quarters full."""

MAX_CHARACTERS = 64 * 1024 * 1024
_HEAVY = 2048  # characters; lighter records are bounded well enough by their number
_STUCK_SECONDS = 1.0
_STORM_SECONDS = 0.05
_PACE_MASK, _PACE_SECONDS = 63, 0.001


class Flush:
    """Travels through the queues; when it arrives, all before it has arrived."""

    def __init__(self) -> None:
        self._arrived = _thread.allocate_lock()
        self._arrived.acquire()

    def arrive(self) -> None:
        """Wake who waits."""
        self._arrived.release()

    def wait(self, seconds: float) -> bool:
        """Wait for the arrival; False when *seconds* passed."""
        return self._arrived.acquire(timeout=max(0.0, seconds))


Item = Captured | ReadableLogRecord | ReadableSpan | Flush


class Memory:
    """What was logged or ended and is not encoded yet; many threads put, one takes.

    Beyond a quarter of its limit every 64th call sleeps for a millisecond, so that the
    taker gets the interpreter; beyond three quarters each waits up to 2 ms for room;
    beyond the limit a record is refused, one at ERROR or above only a tenth later.
    """

    def __init__(self, records: int, batch_records: int) -> None:
        self._items: deque[Item] = deque()
        self._limit, self._batch = records, batch_records
        self._busy, self._full = records // 4, records * 3 // 4
        self._heavy, self._weighing = 0, threading.RLock()
        self._weights: dict[int, int] = {}  # of the heavy ones, by their id
        self._bell, self._room = _thread.allocate_lock(), _thread.allocate_lock()
        self._bell.acquire()
        self._room.acquire()
        self._asleep, self._rung = True, False
        self._urgent = self._flushing = False
        self._last_urgent = 0.0
        self._taken = time.monotonic()
        self._waiting: set[int] = set()
        self.refused = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item, level: int = 0, weight: int = 0) -> bool:
        """Add one item; return whether the taker must be running to notice.

        A refused one is counted in ``refused``.
        """
        items = self._items
        if len(items) >= self._busy and not self._fits(level):
            return False
        if weight > _HEAVY and not self._fits_heavy(item, weight):
            return False
        items.append(item)
        if level >= logging.ERROR:
            # Once until the taker has seen it, which then takes all that is there.
            if not self._urgent:
                self._urgent = True
                self.ring()
            elif len(items) == self._batch:
                self.ring()
        elif self._asleep:
            # Once: the taker may get its turn only after a burst of calls.
            if not self._rung:
                self.ring()
        elif len(items) == self._batch:
            self.ring()
        else:
            return False
        return True

    @property
    def behind(self) -> bool:
        """Whether more waits than is taken at once: then weights matter."""
        return len(self._items) >= self._batch

    def mark(self, mark: Flush) -> None:
        """Add a mark, which is never refused."""
        self._items.append(mark)

    def ring(self) -> None:
        """Wake the taker; a bell that was rung already stays so."""
        self._rung = True
        try:  # suppress() is not for here: log calls come by
            self._bell.release()
        except RuntimeError:
            return

    def rest(self) -> None:
        """Have every ``put`` say that it must be noticed: nobody takes any more."""
        self._asleep = True

    def hurry(self) -> None:
        """Let the taker go on without waiting for more."""
        self._urgent = self._flushing = True
        self.ring()

    def wait(self, delay: float) -> None:
        """Wait for the first item, then up to *delay* seconds for a batch of them."""
        self._rung = False  # before the next line: who finds it asleep must ring once
        self._asleep = True
        # Only now: an item that came before saw nobody asleep and rang no bell.
        if not self._items and not self._urgent:
            self._bell.acquire()
        self._asleep = False
        self._bell.acquire(blocking=False)  # it rang for the first item
        # Only now: whoever rang since then has put first, or rings again.
        if not self._urgent and len(self._items) < self._batch:
            self._bell.acquire(timeout=delay)
        if self._urgent and not self._flushing:
            self._let_pass()
        self._urgent = self._flushing = False

    def _let_pass(self) -> None:
        """Take the first error at once, and those of a storm together."""
        soon = self._last_urgent + _STORM_SECONDS - time.monotonic()
        while soon > 0 and not self._flushing and len(self._items) < self._batch:
            self._bell.acquire(timeout=soon)
            soon = self._last_urgent + _STORM_SECONDS - time.monotonic()
        self._last_urgent = time.monotonic()

    def take(self) -> tuple[list[Any], Flush | None]:
        """Return up to a batch of items, and the flush mark that ended it early."""
        items, taken = self._items, []
        mark = None
        for _ in range(min(len(items), self._batch)):
            try:
                item = items.popleft()
            except IndexError:  # at a process's end more than one may take
                break
            if item.__class__ is Flush:
                mark = item
                break
            taken.append(item)
        if self._weights:
            with self._weighing:
                weights = self._weights
                self._heavy -= sum([weights.pop(id(item), 0) for item in taken])
        self._taken = time.monotonic()
        with contextlib.suppress(RuntimeError):  # nobody has used the last room yet
            self._room.release()
        return taken, mark

    def _fits(self, level: int) -> bool:
        """Wait a moment for room, unless the taker is stuck: then that is no help."""
        size = len(self._items)
        if size < self._full:
            if size & _PACE_MASK == 0:
                self._pause(time.sleep, _PACE_SECONDS)
            return True
        self.ring()
        self._pause(self._await_room)
        reserve = self._limit // 10 if level >= logging.ERROR else 0
        if len(self._items) < self._limit + reserve:
            return True
        with self._weighing:
            self.refused += 1
        return False

    def _await_room(self) -> None:
        self._room.acquire(timeout=WAIT_SECONDS)

    def _pause(self, wait: Callable[..., None], *arguments: float) -> None:
        """Wait, but neither for a taker that is stuck, nor within a wait.

        Signals may come faster than waits end, and their handlers may log.
        """
        thread = _thread.get_ident()
        stuck = time.monotonic() - self._taken >= _STUCK_SECONDS
        if stuck or thread in self._waiting:
            return
        self._waiting.add(thread)
        try:
            wait(*arguments)
        finally:
            self._waiting.discard(thread)

    def _fits_heavy(self, item: Item, weight: int) -> bool:
        if self._hold(item, weight):
            return True
        self.ring()
        self._pause(self._await_room)
        if self._hold(item, weight):
            return True
        with self._weighing:
            self.refused += 1
        return False

    def _hold(self, item: Item, weight: int) -> bool:
        with self._weighing:
            fits = self._heavy + weight <= MAX_CHARACTERS
            if fits:
                self._heavy += weight
                self._weights[id(item)] = weight
            return fits


def record_weight(record: ReadableLogRecord) -> int:
    """Return about how many characters a record's body holds."""
    body = record.log_record.body
    return len(body) if isinstance(body, (str, bytes)) else 0


def span_weight(span: ReadableSpan) -> int:
    """Return about how many characters a span holds."""
    weight = _weight(attributes_of(span))
    if has_more(span):
        weight += sum([_weight(event.attributes or {}) for event in span.events])
        weight += sum([_weight(link.attributes or {}) for link in span.links])
    return weight


def _weight(attributes: Mapping[str, Any]) -> int:
    weight = 0
    for value in attributes.values():
        weight += len(value) if value.__class__ is str else characters(value)
    return weight
