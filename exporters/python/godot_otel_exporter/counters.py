"""What became of the records and spans of one process: sums since it began."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections import Counter


class Counters:
    """Counts for one link in one process, both signals in one sum.

    A forked child begins anew.

    emitted = what the queue took + what the spool took + what was dropped.
    """

    def __init__(self, service: str = "") -> None:
        self.service = service
        self.instance = uuid.uuid4().hex
        self.emitted = 0
        self.spooled = 0
        self.dropped: Counter[str] = Counter()
        self._lock = threading.RLock()  # a finalizer may log amid any of this

    def emit(self, records: int) -> None:
        """Count records that were handed over."""
        with self._lock:
            self.emitted += records

    def spool(self, records: int) -> None:
        """Count records that went to disk; the queue may have them later."""
        with self._lock:
            self.spooled += records

    def drop(self, reason: str, records: int) -> None:
        """Count records that are lost."""
        if records:
            with self._lock:
                self.dropped[reason] += records

    def source(self) -> bytes:
        """Return the wire contract's ``source``; ``losses`` reads its end."""
        with self._lock:
            source = {
                "instance": self.instance, "service": self.service, "pid": os.getpid(),
                "emitted": self.emitted, "spooled": self.spooled,
                "dropped": dict(self.dropped),
            }  # fmt: skip # a line for who, a line for how many
        return json.dumps(source, separators=(",", ":")).encode()


def losses(source: bytes) -> bytes:
    """Return the part of a ``source`` about what was spooled and dropped, as it is."""
    return source[source.find(b'"spooled"') :]


NO_LOSSES = losses(Counters().source())
