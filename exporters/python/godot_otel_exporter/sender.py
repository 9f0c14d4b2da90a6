"""Hands batches to the queue, waiting while it is full or away.

Next station: ``godot_otel.queue``. Safe between threads and forks; no thread of its
own, no connection before the first batch.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
import uuid
import weakref
from collections import Counter

from godot_otel.errors import QueueFullError, RetryableError, SettingError
from godot_otel.queue import Entry, Producer, batch_id
from godot_otel_exporter.diagnostics import report, report_once
from godot_otel_exporter.encode import Batch
from godot_otel_exporter.endpoint import resolve
from godot_otel_exporter.environment import SAID_NO_QUEUE

SHUTDOWN_SECONDS = 5.0
_MARGIN_SECONDS = 0.5  # of the 5 s, for what else a process does at its end
_CONNECT_SECONDS, _SOCKET_SECONDS = 0.5, 2.0
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.05, 0.5


class Sender:
    """Sends batches for one exporter and counts what became of its records."""

    def __init__(self, *, endpoint: str | None, timeout: float) -> None:
        self.timeout = timeout
        self._endpoint = endpoint
        self._parents: list[Producer] = []
        self._begin()
        _alive.add(self)
        # At interpreter exit the SDK's processor drains its queue first, for up to
        # 30 s, and tells us afterwards. Callbacks run last in, first out, so that ours,
        # which is younger than the provider's, starts the clock before.
        atexit.register(self._exit)
        self._youngest = False

    def _begin(self) -> None:
        """Begin life in this process: here, and again in each forked child."""
        self.instance = uuid.uuid4().hex
        self.emitted = 0
        self.dropped: Counter[str] = Counter()
        self._producer: Producer | None = None
        self._url: str | None = None
        self._had_endpoint = False
        self._failures = 0
        self._next_attempt = 0.0
        self._busy = 0
        self._closed = False
        self._ends = float("inf")
        # One condition guards all of it, and is never held while the network is used.
        self._state = threading.Condition()

    def _after_fork(self) -> None:
        # The parent's connections must not even be closed here: a TLS goodbye or a
        # lock held by one of its threads would reach across. They are kept, unused.
        if self._producer is not None:
            self._parents.append(self._producer)
        self._begin()

    def emit(self, records: int) -> None:
        """Count records that were handed over."""
        with self._state:
            self.emitted += records

    def drop(self, reason: str, records: int) -> None:
        """Count records that will not reach the queue."""
        if records:
            with self._state:
                self.dropped[reason] += records

    def send(self, batch: Batch, *, service: str, encoding: bytes, ends: float) -> bool:
        """Hand over one batch by *ends* on the monotonic clock; count it if that fails.

        The batch keeps its id through every attempt, so that a second delivery after a
        lost answer is recognised.
        """
        entry = Entry(
            id=batch_id(), signal=b"logs", records=batch.records,
            payload=batch.payload, encoding=encoding, source=self._source(service),
        )  # fmt: skip # the entry's own order
        with self._state:
            self._busy += 1
        try:
            reason = self._deliver(entry, ends)
        finally:
            with self._state:
                self._busy -= 1
                self._state.notify_all()
        if reason:
            self.drop(reason, batch.records)
        return reason is None

    def flush(self, timeout: float) -> bool:
        """Wait until no batch is on its way; False when *timeout* seconds passed."""
        with self._state:
            return self._state.wait_for(lambda: not self._busy, timeout)

    def shutdown(self, timeout: float) -> None:
        """Let batches on their way arrive for up to *timeout* seconds, then give up."""
        timeout = max(0.0, min(timeout, SHUTDOWN_SECONDS))
        with self._state:
            self._ends = min(self._ends, time.monotonic() + timeout)
            self._state.notify_all()
            self._state.wait_for(lambda: not self._busy, timeout)
            self._closed = True
            self._state.notify_all()
            producer, self._producer = self._producer, None
        atexit.unregister(self._exit)
        if producer is not None:
            producer.close()

    def _exit(self) -> None:
        with self._state:
            seconds = SHUTDOWN_SECONDS - _MARGIN_SECONDS
            self._ends = min(self._ends, time.monotonic() + seconds)
            self._state.notify_all()

    def _move_exit_last(self) -> None:
        # An exporter that is older than its provider; by now the provider exists.
        if not self._youngest:
            self._youngest = True
            atexit.unregister(self._exit)
            atexit.register(self._exit)

    def _source(self, service: str) -> bytes:
        with self._state:
            source = {
                "instance": self.instance, "service": service, "pid": os.getpid(),
                "emitted": self.emitted, "dropped": dict(self.dropped),
            }  # fmt: skip # a line for who, a line for how many
        return json.dumps(source, separators=(",", ":")).encode()

    def _deliver(self, entry: Entry, ends: float) -> str | None:
        """Attempt until taken; return the reason when it must be dropped."""
        self._move_exit_last()
        while self._turn(ends):
            producer = self._current()
            if producer is not None:
                if self._attempt(producer, entry, ends):
                    return None
            elif not self._had_endpoint:
                return "no_endpoint"
            else:
                self._failed()  # the stack stopped; perhaps it comes back in time
        stopped = self._closed or self._ends <= time.monotonic()
        return "shutdown" if stopped else "timeout"

    def _turn(self, ends: float) -> bool:
        """Wait for the next attempt's time; False when there is none any more."""
        with self._state:
            while True:
                now, last = time.monotonic(), min(ends, self._ends)
                if self._closed or now >= last:
                    return False
                if now >= self._next_attempt:
                    return True
                self._state.wait(min(self._next_attempt, last) - now)

    def _current(self) -> Producer | None:
        """Return the producer for where the queue is now.

        Looked up again after a failure: the stack may have come, gone or moved.
        """
        with self._state:
            if self._producer is None or self._failures:
                url = resolve(self._endpoint)
                if url is None:
                    self._report_no_endpoint()  # or it went away
                if url != self._url:
                    # The old one is not closed: another thread may be using it.
                    self._url, self._producer = url, self._open(url)
            return self._producer

    def _open(self, url: str | None) -> Producer | None:
        if url is None:
            return None
        connect, answer = _waits(self.timeout)
        try:
            producer = Producer(url, connect_timeout=connect, socket_timeout=answer)
        except SettingError as error:
            report_once("url", "%s; log records are dropped", error)
            return None
        self._had_endpoint = True
        return producer

    def _report_no_endpoint(self) -> None:
        if self._had_endpoint:
            report("gone", "the queue is gone; waiting for it for up to %g s a batch",
                   self.timeout)  # fmt: skip # one sentence
        elif SAID_NO_QUEUE not in os.environ:
            report_once(
                "no_endpoint",
                "no queue, so log records are dropped: start one with `godot-otel up`",
            )

    def _attempt(self, producer: Producer, entry: Entry, ends: float) -> bool:
        try:
            self._admit(producer, entry, min(ends, self._ends) - time.monotonic())
        except QueueFullError as error:
            report("full", "%s; waiting", error)
        except RetryableError as error:
            report("unreachable", "%s; trying again", error)
        except Exception as error:  # what a client raises for odd options in the URL
            report("unusable", "the queue cannot be used: %s", type(error).__name__)
        else:
            with self._state:
                recovered, self._failures, self._next_attempt = self._failures, 0, 0.0
            if recovered:
                report("recovered", "the queue takes log records again")
            return True
        self._failed()
        return False

    def _admit(self, producer: Producer, entry: Entry, left: float) -> None:
        connect, answer = _waits(self.timeout)
        if left >= connect + answer or self._url is None:
            producer.admit(entry)
            return
        # Too little time is left for its waits: another one for this attempt alone.
        connect, answer = _waits(max(left, 0.01))
        brief = Producer(self._url, connect_timeout=connect, socket_timeout=answer)
        try:
            brief.admit(entry)
        finally:
            brief.close()

    def _failed(self) -> None:
        """Push the next attempt of every thread away: nobody hammers a sick server."""
        with self._state:
            pause = min(_FIRST_PAUSE_SECONDS * 2**self._failures, _LAST_PAUSE_SECONDS)
            self._failures = min(self._failures + 1, 10)
            self._next_attempt = time.monotonic() + pause


def _waits(seconds: float) -> tuple[float, float]:
    """Say how long to wait for a connection and for an answer, within *seconds*."""
    return min(_CONNECT_SECONDS, seconds / 4), min(_SOCKET_SECONDS, seconds / 2)


_alive: weakref.WeakSet[Sender] = weakref.WeakSet()


def _after_fork() -> None:
    for sender in list(_alive):
        sender._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
