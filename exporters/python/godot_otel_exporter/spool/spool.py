"""The spool: put, replay, look, empty."""

from __future__ import annotations

import heapq
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from godot_otel import fault
from godot_otel.queue import Entry
from godot_otel_exporter.spool import batch_file, locks
from godot_otel_exporter.spool.batch_file import DamagedError
from godot_otel_exporter.spool.folder import SpoolError, SpoolFolder, explained
from godot_otel_exporter.spool.room import Room

_PUT_LOCK, _REPLAY_LOCK = ".put.lock", ".replay.lock"
_LOCK_SECONDS = 1.0
_IMPATIENT_SECONDS = 10.0  # after waiting in vain: a stopped process may stay stopped
_TOGETHER = 5000  # names that replay remembers at a time
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is known of a batch without reading its records."""

    id: bytes
    records: int
    signal: bytes
    bytes: int
    time: datetime
    service: str


class Spool:
    """The batches that wait in *folder*, at most *max_bytes* of them.

    Constructing it touches no disk. With 0 bytes nothing is put, but what waits from
    before can be replayed.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder = folder
        self.damaged_batches = 0
        self.damaged_records = 0
        """What this process found to be unreadable, going by the files' names."""
        self._files = SpoolFolder(folder)
        self._max_bytes = max_bytes
        self._room = Room(self._files, max_bytes, self._count_damaged)
        self._impatient_until = 0.0

    def put(self, entry: Entry) -> list[Entry]:
        """Keep *entry*: on disk, safe from a power cut, once this returns.

        Returns the batches that made room for it, oldest first. The cap is for what
        waits and what was set aside; files being written come on top.

        Raises:
            SpoolError: it could not be kept.
        """
        if not self._max_bytes:
            raise SpoolError(f"the spool {self.folder} is off: it may hold 0 bytes")
        data = batch_file.pack(entry)
        limit = min(self._max_bytes, batch_file.MAX_BYTES)
        if len(data) > limit:
            raise SpoolError(
                f"a batch of {len(data)} bytes is too large for the spool {self.folder}"
                f" (limit {limit} bytes)"
            )
        evicted: list[Entry] = []
        try:
            with explained(self.folder):
                self._put(data, batch_file.name(entry, len(data)), evicted)
        except SpoolError as error:
            error.evicted = tuple(evicted)
            raise
        return evicted

    def _put(self, data: bytes, name: str, evicted: list[Entry]) -> None:
        self._files.make()
        # On disk before anything is evicted: a full disk must not cost older batches.
        # And outside of the lock: a slow disk must not make others wait for it.
        with self._files.partial(data) as partial:
            with self._put_lock():
                self._room.make(len(data), evicted)
                partial.rename(self.folder / name)
                self._room.used(len(data))
            fault.point("spool_renamed")
            self._files.sync(name)

    @contextmanager
    def _put_lock(self) -> Iterator[None]:
        """Let one process at a time see the sum, make room and add to it.

        One that is stopped with the lock costs the others the cap's exactness.
        """
        patient = time.monotonic() >= self._impatient_until
        descriptor = self._files.open(_PUT_LOCK, os.O_RDWR)
        wait_seconds = _LOCK_SECONDS if patient else 0.0
        with locks.locked(descriptor, wait_seconds=wait_seconds) as alone:
            if patient and not alone:
                self._impatient_until = time.monotonic() + _IMPATIENT_SECONDS
            yield

    def waiting(self) -> bool:
        """Whether any batch is there; cheap, never raises."""
        try:
            return next(self._files.names(), None) is not None
        except OSError:
            return False

    def replay(self, send: Callable[[Entry], bool]) -> int | None:
        """Hand batches to *send*, oldest first, until it returns False.

        A batch is removed once *send* returned True; a crash in between sends it again,
        with the same id. Returns how many were sent; None when another process is
        replaying this folder.

        Raises:
            SpoolError: the folder cannot be used.
        """
        if not self.waiting():
            return 0
        with explained(self.folder):
            self._files.refuse_strange()
            descriptor = self._files.open(_REPLAY_LOCK, os.O_RDWR)
        with locks.locked(descriptor) as alone:
            return self._replay(send) if alone else None

    def _replay(self, send: Callable[[Entry], bool]) -> int:
        sent = 0
        passed: set[str] = set()
        while names := self._oldest(passed):
            for name in names:
                outcome = self._send(name, send)
                if outcome is None:
                    passed.add(name)
                elif outcome:
                    sent += 1
                else:
                    return sent
        return sent

    def _oldest(self, passed: set[str]) -> list[str]:
        with explained(self.folder):
            left = (name for name in self._files.names() if name not in passed)
            return heapq.nsmallest(_TOGETHER, left)

    def _send(self, name: str, send: Callable[[Entry], bool]) -> bool | None:
        """Send one batch and remove it; None when there is none to send."""
        try:
            with self._files.claim(name) as entry:
                if entry is None:
                    return None
                if not send(entry):
                    return False
                fault.point("spool_sent_not_unlinked")
                with explained(self.folder):
                    (self.folder / name).unlink(missing_ok=True)
                return True
        except DamagedError:
            if self._files.set_aside(name):
                self._count_damaged(name)
            return None

    def _count_damaged(self, name: str) -> None:
        self.damaged_batches += 1
        self.damaged_records += batch_file.records_of(name)

    def batches(self) -> list[Waiting]:
        """Describe what waits, oldest first; what cannot be read is left out.

        Raises:
            SpoolError: the folder cannot be read.
        """
        with explained(self.folder):
            try:
                names = sorted(self._files.names())
            except FileNotFoundError:
                return []
        found = ((name, self._files.head(name)) for name in names)
        return [_waiting(*head) for _, head in found if head is not None]

    def set_aside(self) -> int:
        """Count the unreadable files in quarantine; never raises."""
        try:
            return len(self._files.quarantined())
        except OSError:
            return 0

    def purge(self) -> int:
        """Delete what waits and what was set aside; return how many batches waited.

        Raises:
            SpoolError: they cannot be deleted.
        """
        gone = 0
        with explained(self.folder), suppress(FileNotFoundError):
            self._files.refuse_strange()
            for name in sorted(self._files.names()):
                with suppress(FileNotFoundError):
                    (self.folder / name).unlink()
                    gone += 1
            for name, _ in self._files.quarantined():
                (self.folder / name).unlink(missing_ok=True)
        return gone


def _waiting(entry: Entry, size: int) -> Waiting:
    milliseconds = int.from_bytes(entry.id[:6], "big")
    try:
        time = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        time = _EPOCH
    return Waiting(
        entry.id, entry.records, entry.signal, size, time, _service(entry.source)
    )


def _service(source: bytes) -> str:
    try:
        found = json.loads(source)
    except ValueError:
        return ""
    return str(found.get("service", "")) if isinstance(found, dict) else ""
