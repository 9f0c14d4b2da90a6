"""What the store holds, and for how long."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from godot_otel import store
from godot_otel.query.line import rfc3339
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.slices import slices

KEPT = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Storage:
    """What the store holds and for how long."""

    partitions: int
    bytes: int
    oldest: datetime | None
    retention_days: int

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        return {
            "partitions": self.partitions,
            "bytes": self.bytes,
            "oldest": rfc3339(self.oldest) if self.oldest else None,
            "retention_days": self.retention_days,
        }


_known: WeakKeyDictionary[Reader, tuple[float, Storage]] = WeakKeyDictionary()


async def storage(reader: Reader, connection: store.Connection) -> Storage:
    """Ask how full the store is, and for its first line.

    To sum up the sizes of all partitions takes longer than to count lines, so each
    reader keeps the answer, which may be 10 s old.
    """
    asked, found = _known.get(reader, (0.0, None))
    if found is None or time.monotonic() - asked > KEPT:
        found = await _ask(connection)
        _known[reader] = time.monotonic(), found
    return found


async def _ask(connection: store.Connection) -> Storage:
    rows = await fetch(
        connection,
        "SELECT count(name) FILTER (WHERE parent = 'logs'),"
        " coalesce(sum(pg_total_relation_size(to_regclass(quote_ident(name)))), 0)"
        "::bigint, (SELECT retention_days FROM settings) FROM partitions",
    )
    partitions, size, retention_days = rows[0]
    oldest = None
    # Partitions are made ahead, so the first ones may be empty: find the first line.
    for piece in await slices(connection, "log_counts", None, None):
        first = await fetch(
            connection,
            "SELECT min(first) FROM log_counts WHERE minute >= %s AND minute < %s",
            [piece.lower, piece.upper],
        )
        if first[0][0] is not None:
            oldest = first[0][0]
            break
    return Storage(partitions, size, oldest, retention_days)
