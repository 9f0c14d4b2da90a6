"""The batches that the queue took last, for when its server loses them in a crash.

With ``appendfsync everysec`` a server that dies loses its last second or two, and a
replica that takes over never had what was not copied yet. Either answers as another
run of the server: then these batches are sent again, and the store's ledger knows those
that were not lost. In: what ``sender`` delivered. Out: to ``link``, which sends it.
"""

from __future__ import annotations

from collections import deque

from godot_otel.queue import Entry

SECONDS = 5.0
MAX_BYTES = 8 * 1024 * 1024


class ResendWindow:
    """Keeps what the queue took within 5 s before its last answer, up to 8 MiB.

    Before its last answer, not before now: what a server that is away for an hour has
    lost is what it took last.
    """

    def __init__(self) -> None:
        self._run: str | None = None
        self._kept: deque[tuple[float, Entry]] = deque()
        self._bytes = 0
        self._lost: deque[Entry] = deque()

    def answered(self, run: str | None, now: float, entry: Entry | None = None) -> None:
        """Take note that this *run* of the server answered, and perhaps took *entry*.

        Must be called by one thread at a time. None for a server that does not name
        its run: nothing is kept for it.
        """
        if run != self._run:
            # First of all: what was kept is old by now, and may be lost.
            if run is not None:
                self._lost.extend(kept for _, kept in self._kept)
            self._kept.clear()
            self._run, self._bytes = run, 0
        if run is not None and entry is not None:
            self._kept.append((now, entry))
            self._bytes += len(entry.payload)
        self._forget(now - SECONDS)

    def _forget(self, before: float) -> None:
        kept = self._kept
        while kept and (kept[0][0] < before or self._bytes > MAX_BYTES):
            self._bytes -= len(kept.popleft()[1].payload)

    @property
    def lost(self) -> bool:
        """Whether anything has to be sent again."""
        return bool(self._lost)

    def take(self) -> Entry | None:
        """Return the oldest batch that has to be sent again, and forget it."""
        try:
            return self._lost.popleft()
        except IndexError:  # another thread took it
            return None

    def give_back(self, entry: Entry) -> None:
        """Keep what was taken and could not be sent."""
        self._lost.appendleft(entry)
