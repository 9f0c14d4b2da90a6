"""Which partitions there are, and what has become of them.

Bounds are microseconds since 1970 in UTC, computed by the collector: date_trunc would
follow the session's time zone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast

from psycopg.rows import dict_row

from godot_otel import sql, store
from godot_otel_collector.calendar import DAY, HOUR, Calendar

# parent -> the column it is partitioned by. Those in TIMED share their bounds, those of
# logs; rows come after what finds them: nobody may see them without it.
DAILY = {"batches": "batch_id", "trace_index": "first"}
TIMED = {
    "span_filters": "time_first",
    "operation_counts": "minute",
    "spans": "time",
    "word_filters": "time_first",
    "log_counts": "minute",
    "log_packs": "time_first",
    "logs": "time",
}


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition as the catalog has it."""

    name: str
    parent: str
    lower: int
    upper: int
    state: Literal["attached", "pending", "detached", "gone"]
    """Of its table: part of the parent, half detached, a table by itself, no table."""
    dropping: bool
    """Retention has given it up."""

    @property
    def usable(self) -> bool:
        """Whether rows may go there."""
        return self.state == "attached" and not self.dropping


@dataclass(frozen=True, slots=True)
class Rules:
    """What the store's settings say about partitions."""

    retention_days: int
    width: int


class Catalog:
    """The partitions at one moment."""

    def __init__(self, rules: Rules, partitions: Iterable[Partition] = ()) -> None:
        self.rules = rules
        self._partitions = list(partitions)
        self._usable = self._calendars(p for p in self._partitions if p.usable)
        self._taken = self._calendars(self._partitions)
        waited_for = (
            one.upper
            for one in self.leaving()
            if one.parent != "batches" and one.state in ("attached", "pending")
        )
        self.floor = max(waited_for, default=0)
        """The time before which rows find no partition until queries have ended: what
        goes is the oldest, so it is the end of the last that is going. 0: none is."""

    @staticmethod
    def _calendars(partitions: Iterable[Partition]) -> dict[str, Calendar]:
        bounds: dict[str, list[tuple[int, int]]] = {}
        for one in partitions:
            bounds.setdefault(one.parent, []).append((one.lower, one.upper))
        return {parent: Calendar(found) for parent, found in bounds.items()}

    def usable(self, parent: str) -> Calendar:
        """Where rows of *parent* may go."""
        return self._usable.get(parent, Calendar([]))

    def taken(self, parent: str) -> Calendar:
        """Where no new partition of *parent* can be made."""
        return self._taken.get(parent, Calendar([]))

    def leaving(self) -> list[Partition]:
        """Partitions on their way out, in the order in which they must go.

        The reverse of that in which they are made.
        """
        order = [*reversed(TIMED), *reversed(DAILY)]
        found = (one for one in self._partitions if not one.usable)
        return sorted(found, key=lambda one: (order.index(one.parent), one.lower))


async def read(connection: store.Connection) -> Catalog:
    """Read what the store says of its partitions; a newer release may have others."""
    row = await store.one(connection, "SELECT * FROM settings")
    width = HOUR if row["partition_width"] == "hour" else DAY
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(cast(Any, sql.query("partition_bounds")))
        found = [Partition(**row) for row in await cursor.fetchall()]
    partitions = [one for one in found if one.parent in TIMED | DAILY]
    return Catalog(Rules(row["retention_days"], width), partitions)


async def lock(connection: store.Connection) -> None:
    """Be the only one who makes or gives up partitions, to the transaction's end.

    Waits no longer than the connection's lock_timeout.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [store.PARTITION_LOCK])
