"""Creates partitions: ahead of time, and on demand for rows that come late.

Never inside the transaction that stores rows. CREATE TABLE .. LIKE, CHECK and ATTACH
lock the parent so lightly that writers go on; CREATE .. PARTITION OF would stop them.
Bounds are microseconds since 1970 in UTC, computed here: date_trunc would follow the
session's time zone.
"""

from __future__ import annotations

import bisect
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from psycopg import sql as compose
from psycopg.rows import dict_row

from godot_otel import sql, store

HOUR = 3_600_000_000
DAY = 24 * HOUR
LEDGER_DAYS = 30
_LOCK = 0x60D08
_AHEAD = 3  # partitions beyond the one of now
# parent -> the column it is partitioned by. Those in _TIMED share their bounds, and
# logs comes last: where its partition exists, a crash has left out none of the others.
_DAILY = {"batches": "batch_id", "trace_index": "first"}
_TIMED = {"word_filters": "time_first", "log_counts": "minute", "logs": "time"}


class Calendar:
    """The existing partitions of one parent, as an immutable list of bounds."""

    def __init__(self, bounds: list[tuple[int, int]]) -> None:
        self._lowers = [lower for lower, _ in bounds]
        self._uppers = [upper for _, upper in bounds]

    def covers(self, moment: int) -> bool:
        """Say whether a partition for *moment* exists."""
        at = bisect.bisect_right(self._lowers, moment) - 1
        return at >= 0 and moment < self._uppers[at]

    def lower(self, moment: int) -> int:
        """The lower bound of the partition that holds *moment*; it must exist."""
        at = bisect.bisect_right(self._lowers, moment) - 1
        if at < 0 or moment >= self._uppers[at]:
            raise LookupError(moment)
        return self._lowers[at]

    def gap(self, moment: int, width: int) -> tuple[int, int]:
        """The bounds of a new partition for *moment*, clear of the existing ones."""
        lower = moment // width * width
        upper = lower + width
        at = bisect.bisect_right(self._lowers, moment)
        if at > 0:
            lower = max(lower, self._uppers[at - 1])
        if at < len(self._lowers):
            upper = min(upper, self._lowers[at])
        return lower, upper


@dataclass(frozen=True, slots=True)
class Rules:
    """What the store's settings say about partitions."""

    retention_days: int
    width: int


class Partitions:
    """Knows the existing partitions and makes those that are missing."""

    def __init__(self, owner_dsn: str) -> None:
        self._dsn = owner_dsn
        self._calendars: dict[str, Calendar] = {}
        self.rules = Rules(retention_days=7, width=HOUR)

    @property
    def logs(self) -> Calendar:
        """The partitions of ``logs``."""
        return self._calendars.get("logs", Calendar([]))

    async def create_ahead(self) -> None:
        """Create what the next hours and days need."""
        now = time.time_ns() // 1000
        async with await self._connect() as connection:
            await self._read(connection)
            ahead = range(_AHEAD + 1)
            moments = [now + i * self.rules.width for i in ahead]
            days = [now + i * DAY for i in ahead]
            for parent in _DAILY:
                await self._create(connection, parent, days)
            for parent in _TIMED:
                await self._create(connection, parent, moments)

    async def ensure(self, moments: Iterable[int], ids: Iterable[bytes]) -> None:
        """Make partitions for rows at *moments* and for batches of *ids*."""
        logs, ledger = self.logs, self._calendars.get("batches", Calendar([]))
        times = [moment for moment in moments if not logs.covers(moment)]
        minted = [int.from_bytes(i[:6], "big") * 1000 for i in ids]
        minted = [moment for moment in minted if not ledger.covers(moment)]
        if not times and not minted:
            return
        async with await self._connect() as connection:
            await self._read(connection)
            await self._create(connection, "batches", minted)
            await self._create(connection, "trace_index", times)
            for parent in _TIMED:
                await self._create(connection, parent, times)

    async def _connect(self) -> store.Connection:
        return await store.connect(self._dsn, application_name="godot-otel partitions")

    async def _read(self, connection: store.Connection) -> None:
        row = await store.one(connection, "SELECT * FROM settings")
        width = HOUR if row["partition_width"] == "hour" else DAY
        self.rules = Rules(row["retention_days"], width)
        bounds: dict[str, list[tuple[int, int]]] = {}
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(cast(Any, sql.query("partition_bounds")))
            for row in await cursor.fetchall():
                bounds.setdefault(row["parent"], []).append(
                    (row["lower"], row["upper"])
                )
        self._calendars = {parent: Calendar(b) for parent, b in bounds.items()}

    async def _create(
        self, connection: store.Connection, parent: str, moments: Iterable[int]
    ) -> None:
        width = self.rules.width if parent in _TIMED else DAY
        for moment in sorted(moments):
            if self._calendars.get(parent, Calendar([])).covers(moment):
                continue
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '2s'")
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
                # Under the lock, because another collector may have been faster.
                await self._read(connection)
                calendar = self._calendars.get(parent, Calendar([]))
                if not calendar.covers(moment):
                    bounds = calendar.gap(moment, width)
                    await _attach(connection, parent, *bounds)
            await self._read(connection)


async def _attach(
    connection: store.Connection, parent: str, lower: int, upper: int
) -> None:
    """Create one partition and enter it into the catalog."""
    first, end = _utc(lower), _utc(upper)
    form = "%Y%m%d" if not (lower % DAY or upper % DAY) else "%Y%m%d%H%M"
    name = f"{parent}_{first:{form}}"
    column = (_TIMED | _DAILY)[parent]
    bounds = (_uuid(lower), _uuid(upper)) if parent == "batches" else (first, end)
    parts = {
        "name": compose.Identifier(name),
        "parent": compose.Identifier(parent),
        "column": compose.Identifier(column),
        "lower": compose.Literal(str(bounds[0])),
        "upper": compose.Literal(str(bounds[1])),
    }
    for statement in (
        "CREATE TABLE {name} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
        " INCLUDING INDEXES INCLUDING STORAGE,"
        " CONSTRAINT bounds CHECK ({column} >= {lower} AND {column} < {upper}))",
        "ALTER TABLE {parent} ATTACH PARTITION {name}"
        " FOR VALUES FROM ({lower}) TO ({upper})",
        "ALTER TABLE {name} DROP CONSTRAINT bounds",
    ):
        await connection.execute(compose.SQL(statement).format(**parts))
    await connection.execute(
        "INSERT INTO partitions (name, parent, lower, upper) VALUES (%s, %s, %s, %s)",
        [name, parent, first, end],
    )


def _utc(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _uuid(microseconds: int) -> uuid.UUID:
    return uuid.UUID(int=(microseconds // 1000) << 80)
