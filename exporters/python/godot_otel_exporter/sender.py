"""Hands batches to the queue, else to the spool, else to the fallback.

Next station: ``godot_otel.queue``. Synchronous, safe between threads and forks; no
thread of its own, no connection before the first batch.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable

from godot_otel import fault, queue
from godot_otel.errors import QueueFullError, RetryableError, SettingError
from godot_otel.queue import Entry, Producer
from godot_otel_exporter.counters import Counters
from godot_otel_exporter.diagnostics import report, report_once
from godot_otel_exporter.encode import Batch
from godot_otel_exporter.endpoint import resolve
from godot_otel_exporter.environment import SAID_NO_QUEUE
from godot_otel_exporter.fallback import Fallback
from godot_otel_exporter.resend import ResendWindow
from godot_otel_exporter.spool import Spool, SpoolError

# What connecting imports or looks up, now: a child that is forked while our thread does
# so would inherit the lock of the import, held for ever.
_FOR_CONNECTING = (secrets, "localhost".encode("idna"))

SHUTDOWN_SECONDS = 5.0
_CONNECT_SECONDS, _SOCKET_SECONDS = 0.5, 2.0
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.25, 2.0


class Sender:
    """Sends the batches of one link and counts what became of their records and spans.

    After a failure the circuit is open: batches go to the spool at once, and ``probe``
    finds out, seldom, whether the queue is back.
    """

    def __init__(
        self, *, endpoint: str | None, timeout: float, spool: Spool, fallback: Fallback
    ) -> None:
        self.timeout = timeout
        self.spool = spool
        self._endpoint = endpoint
        self._fallback = fallback
        self._damaged = 0
        self._parents: list[Producer] = []
        self._begin()

    def _begin(self) -> None:
        self.counters = Counters()
        self.level_version: int | None = None
        """What the queue said last."""
        self.heard = 0.0
        """When the queue answered last, on the monotonic clock."""
        self.window = ResendWindow()
        """What the queue took last, and what its server may have lost."""
        self._producer: Producer | None = None
        self._url: str | None = None
        self._failures = self._refusals = 0
        self._next_probe = 0.0
        # Never held while the network is used. Taken twice by a thread whose garbage is
        # collected meanwhile: a finalizer may log, which at the end is sending.
        self._lock = threading.RLock()

    def after_fork(self) -> None:
        """Begin life in a forked child."""
        # The parent's connections must not even be closed here: a TLS goodbye or a
        # lock held by one of its threads would reach across. They are kept, unused.
        if self._producer is not None:
            self._parents.append(self._producer)
        service = self.counters.service
        self._begin()
        self.counters.service = service

    def entry(self, batch: Batch, *, encoding: bytes, signal: bytes) -> Entry:
        """Make a batch's entry; its id stays through every attempt and the spool."""
        entry = Entry(
            id=queue.batch_id(), signal=signal, records=batch.records,
            payload=batch.payload, encoding=encoding, source=self.counters.source(),
        )  # fmt: skip # the entry's own order
        fault.point("after_batch_id")
        return entry

    @property
    def open(self) -> bool:
        """Whether the last attempt failed: then only ``probe`` tries."""
        return self._failures > 0

    def send(self, entry: Entry) -> bool:
        """Hand over one batch; False when it had to be dropped, and was counted.

        Waits for the queue up to 2.5 s, and not at all while the circuit is open.
        """
        # A client of Redis imports as it goes, which the ending interpreter refuses.
        away = self.open or sys.is_finalizing()
        return (not away and self.attempt(entry)) or self.keep(entry)

    def attempt(self, entry: Entry) -> bool:
        """Try to hand one batch to the queue, twice when the connection had died."""
        began = time.monotonic()
        for last in (False, True):
            producer = self.producer()
            if producer is None:
                self.failed()
                return False
            try:
                self._took(producer, producer.admit(entry).level_version, entry)
            except QueueFullError as error:
                self._refusals = min(self._refusals + 1, 10)
                report("full", "%s; batches go to %s", error, self.spool.folder)
            except RetryableError as error:
                # A server that was restarted closed our connection: that is found out
                # at once, and the next attempt opens another.
                if not last and time.monotonic() - began < _CONNECT_SECONDS / 2:
                    continue
                report("away", "%s; batches go to %s", error, self.spool.folder)
            except Exception as error:  # what a client raises for odd options in a URL
                if not sys.is_finalizing():
                    name = type(error).__name__
                    report("unusable", "the queue cannot be used: %s", name)
            else:
                return True
            break
        self.failed()
        return False

    def keep(self, entry: Entry) -> bool:
        """Put one batch into the spool; False when it cannot be, and is lost."""
        try:
            evicted = self.spool.put(entry)
        except SpoolError as error:
            self._lose_evicted(error.evicted)
            report("spool", "%s; log records are dropped", error)
            self._lose("spool_unusable", entry)
            return False
        self.counters.spool(entry.records)
        self._lose_evicted(evicted)
        return True

    def _lose_evicted(self, evicted: Iterable[Entry]) -> None:
        for old in evicted:
            report("spool_full", "%s is full; its oldest batches are dropped",
                   self.spool.folder)  # fmt: skip # one sentence
            self._lose("spool_full", old)

    def replay(self, send: Callable[[Entry], bool]) -> bool:
        """Give *send* what waits on disk, oldest first, until it answers False.

        Returns whether any batch was sent.
        """
        try:
            return bool(self.spool.waiting() and self.spool.replay(send))
        except SpoolError as error:
            report("spool", "%s; what waits there cannot be sent", error)
            return False
        finally:
            damaged, self._damaged = self._damaged, self.spool.damaged_records
            self.counters.drop("spool_damaged", self._damaged - damaged)

    def _lose(self, reason: str, entry: Entry) -> None:
        self.counters.drop(reason, entry.records)
        self._fallback.write(entry)

    def probe(self) -> bool:
        """Ask whether the queue is there, if it is time; closes the circuit when it is.

        Waits for an answer for up to 2 s.
        """
        if time.monotonic() < self._next_probe:
            return not self.open
        producer = self.producer()
        try:
            if producer is not None:
                self._took(producer, producer.level_version())
                return True
        except RetryableError as error:
            report("away", "%s; batches go to %s", error, self.spool.folder)
        except Exception as error:
            report("unusable", "the queue cannot be used: %s", type(error).__name__)
        self.failed()
        return False

    @property
    def next_probe(self) -> float:
        """When ``probe`` will try again, on the monotonic clock."""
        return self._next_probe

    def producer(self) -> Producer | None:
        """Return the producer for where the queue is now.

        Looked up again after a failure: the stack may have come, gone or moved.
        """
        with self._lock:
            if self._producer is None or self._failures:
                url = resolve(self._endpoint, None)
                if url is None:
                    self._report_no_endpoint()
                if url != self._url:
                    self.window = ResendWindow()  # another store has another ledger
                if url != self._url or self._producer is None:
                    # The old one is not closed: another thread may be using it.
                    self._url, self._producer = url, self._connect(url)
            return self._producer

    def _connect(self, url: str | None) -> Producer | None:
        if url is None:
            return None
        try:
            return Producer(
                url,
                connect_timeout=min(_CONNECT_SECONDS, self.timeout / 4),
                socket_timeout=min(_SOCKET_SECONDS, self.timeout / 2),
            )
        except SettingError as error:
            report_once("url", "%s; batches go to %s", error, self.spool.folder)
            return None

    def _report_no_endpoint(self) -> None:
        if self.heard:
            report("gone", "the queue is gone; batches go to %s", self.spool.folder)
        elif not os.environ.get(SAID_NO_QUEUE):
            report_once(
                "no_endpoint",
                "no queue, so batches go to %s: start one with `godot-otel up`",
                self.spool.folder,
            )

    def _took(
        self, producer: Producer, level_version: int, entry: Entry | None = None
    ) -> None:
        with self._lock:
            self.level_version, self.heard = level_version, time.monotonic()
            self.window.answered(producer.run, self.heard, entry)
            recovered, self._failures, self._next_probe = self._failures, 0, 0.0
            # A full queue answers as well, and takes what has no records.
            if entry is not None and entry.records:
                recovered, self._refusals = max(recovered, self._refusals), 0
        if recovered > 1:  # a single hiccup was not reported either way for long
            report("recovered", "the queue takes batches again")

    def failed(self) -> None:
        """Open the circuit; the next probe is later each time."""
        with self._lock:
            times = max(self._failures, self._refusals - 1)
            pause = min(_FIRST_PAUSE_SECONDS * 2**times, _LAST_PAUSE_SECONDS)
            self._failures = min(self._failures + 1, 10)
            self._next_probe = time.monotonic() + pause

    def close(self) -> None:
        """Close the connection; a later batch opens another."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.close()
