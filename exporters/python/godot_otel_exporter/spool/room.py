"""How full the spool is, and what goes when it is too full."""

from __future__ import annotations

import heapq
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from godot_otel.queue import Entry
from godot_otel_exporter.spool.batch_file import DamagedError
from godot_otel_exporter.spool.folder import QUARANTINE, SpoolError, SpoolFolder

_MANY_FILES = 500
_RESCAN_SECONDS = 1.0
_RESCAN_SHARE = 20  # of many thousand files, a scan takes a 20th of the time at most
_EVICTED_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class _Scan:
    """What the folder held; of many files, taken for true for a moment."""

    bytes: int = 0
    files: int = 0
    first: deque[tuple[str, int]] = field(default_factory=deque)
    """Names with sizes of what goes first: set aside, then oldest."""
    until: float = 0.0


class Room:
    """Keeps the files of a folder below *max_bytes*, for one process."""

    def __init__(
        self, files: SpoolFolder, max_bytes: int, damaged: Callable[[str], None]
    ) -> None:
        self._files = files
        self._max_bytes = max_bytes
        self._count_damaged = damaged
        self._scanned = _Scan()

    def used(self, size: int) -> None:
        """Take note of a batch that came."""
        self._scanned.bytes += size

    def make(self, size: int, evicted: list[Entry]) -> None:
        """Remove files until *size* more bytes fit.

        A cap that was lowered since is reached in steps: what is evicted is in memory.
        """
        found, freed = self._scan(), 0
        while found.bytes + size > self._max_bytes and freed < size + _EVICTED_BYTES:
            if not found.first:
                found.until = 0.0
                found = self._scan()
            gone = 0
            while found.first and not gone:
                gone = self._remove(*found.first.popleft(), evicted)
            if not gone:
                raise SpoolError(
                    f"the spool {self._files.path} is full, and all in use"
                )
            found.bytes -= gone
            freed += gone

    def _remove(self, name: str, size: int, evicted: list[Entry]) -> int:
        """Remove one file unless somebody uses it; return how much room that made."""
        if not name.startswith(QUARANTINE):
            try:
                with self._files.claim(name) as entry:
                    if entry is not None:
                        (self._files.path / name).unlink(missing_ok=True)
                        evicted.append(entry)
            except DamagedError:
                self._count_damaged(name)
                self._files.remove(name)
        else:
            self._files.remove(name)
        return 0 if os.path.lexists(self._files.path / name) else size

    def _scan(self) -> _Scan:
        """Return what the folder holds; of many files, what it held a moment ago."""
        started = time.monotonic()
        if started < self._scanned.until:
            return self._scanned
        found = _Scan()
        set_aside = self._files.quarantined()
        oldest = heapq.nsmallest(_MANY_FILES, self._summed(found))
        found.first.extend(set_aside + oldest)
        found.bytes += sum(size for _, size in set_aside)
        now = time.monotonic()
        if found.files > _MANY_FILES:
            found.until = now + max(_RESCAN_SECONDS, _RESCAN_SHARE * (now - started))
        self._scanned = found
        return found

    def _summed(self, found: _Scan) -> Iterator[tuple[str, int]]:
        for name, size in self._files.sizes():
            found.files += 1
            found.bytes += size
            yield name, size
