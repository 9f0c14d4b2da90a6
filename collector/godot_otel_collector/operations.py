"""Names of spans, bounded: what ``operation_counts`` counts by."""

from __future__ import annotations

import time
from typing import NamedTuple

from godot_otel_collector.packing import SHORT, packed
from godot_otel_collector.values import clean

NEW_PER_HOUR = 200
OTHER = b"(other)"
"""What counts the spans of a service whose names are too many."""
_MAX_NAME_BYTES = 255
_CACHED = 20_000

_Known = dict[tuple[bytes, int], "Operation"]


class Operation(NamedTuple):
    """A name of spans, ready to be stored."""

    name: bytes
    """As UTF-8."""
    packed: bytes
    key: bytes
    """Kind, environment, service and the name that counts, packed."""


class Operations:
    """Gives each name of spans the one it is counted by; bounded in memory.

    A name that was let in once stays in; names with an id in them would make a row of
    counts for each span.
    """

    def __init__(self) -> None:
        self._of: dict[bytes, _Known] = {}
        self._size = 0
        self._let_in: set[tuple[str, bytes]] = set()
        self._new: dict[str, int] = {}
        self._hour = 0

    def of(self, names: bytes) -> _Known:
        """What ``find`` has found for *names*, by name and kind.

        To be asked for anew with each batch: it is bounded, and ends with the hour.
        """
        hour = int(time.time() // 3600)
        over = hour != self._hour
        if over:  # what was refused in the last one may come in now
            self._hour, self._new = hour, {}
        if over or self._size >= _CACHED or len(self._of) >= _CACHED:
            self._of.clear()
            self._size = 0
        return self._of.setdefault(names, {})

    def find(
        self, service: str, names: bytes, name: bytes, kind: int, most_bytes: int
    ) -> Operation:
        """Return the operation of a span of *names*, environment and service packed.

        What is beyond *most_bytes* of the name is not stored.
        """
        text = clean(name)
        if len(text) > most_bytes:
            text = text[:most_bytes].decode("utf-8", "ignore").encode()
        counted = text
        if len(text) > _MAX_NAME_BYTES:
            counted = text[:_MAX_NAME_BYTES].decode("utf-8", "ignore").encode()
        if not self._admit(service, counted):
            counted = OTHER
        key = SHORT.pack(2, kind) + names + packed(counted)
        found = Operation(text, packed(text), key)
        if len(name) <= most_bytes:  # else a batch's worth of bytes could stay here
            self.of(names)[name, kind] = found
            self._size += 1
        return found

    def _admit(self, service: str, name: bytes) -> bool:
        if (service, name) in self._let_in:
            return True
        if self._new.get(service, 0) >= NEW_PER_HOUR:
            return False
        self._new[service] = self._new.get(service, 0) + 1
        if len(self._let_in) >= _CACHED:
            self._let_in.clear()
        self._let_in.add((service, name))
        return True
