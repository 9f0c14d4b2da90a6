"""Creates partitions: ahead of time, and on demand for rows that come late.

Never inside the transaction that stores rows. CREATE TABLE .. LIKE, CHECK and ATTACH
lock the parent so lightly that writers go on; CREATE .. PARTITION OF would stop them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from psycopg import sql as compose

from godot_otel import fault, store
from godot_otel.errors import RetryableError
from godot_otel_collector import catalog, dropping
from godot_otel_collector.calendar import DAY, HOUR, Calendar
from godot_otel_collector.catalog import DAILY, TIMED, Catalog, Rules

_AHEAD = 3  # partitions beyond the one of now
_OF_ROWS = ["trace_index", *TIMED]


class Partitions:
    """Knows the existing partitions and makes those that are missing."""

    def __init__(self, owner_dsn: str) -> None:
        self._dsn = owner_dsn
        self._catalog = Catalog(Rules(retention_days=7, width=HOUR))

    @property
    def logs(self) -> Calendar:
        """The partitions of ``logs``."""
        return self._catalog.usable("logs")

    @property
    def rules(self) -> Rules:
        """What the store's settings say."""
        return self._catalog.rules

    @property
    def floor(self) -> int:
        """Rows of an earlier time get the time they were received."""
        return self._catalog.floor

    async def refresh(self) -> None:
        """Read again what there is."""
        async with await self._connect() as connection:
            self._catalog = await catalog.read(connection)

    async def create_ahead(self) -> None:
        """Create what the next hours and days need."""
        now = time.time_ns() // 1000
        async with await self._connect() as connection:
            self._catalog = await catalog.read(connection)
            ahead = range(_AHEAD + 1)
            days = [now + i * DAY for i in ahead]
            moments = [now + i * self.rules.width for i in ahead]
            await self._create(connection, ["batches"], days)
            await self._create(connection, ["trace_index"], days)
            await self._create(connection, _OF_ROWS, moments)

    async def ensure(self, moments: Iterable[int], ids: Iterable[bytes]) -> None:
        """Make partitions for rows at *moments* and for batches of *ids*.

        Raises:
            RetryableError: one is being dropped at this moment.
        """
        ledger = self._catalog.usable("batches")
        times = [moment for moment in moments if not self._covers(_OF_ROWS, moment)]
        minted = [int.from_bytes(i[:6], "big") * 1000 for i in ids]
        minted = [moment for moment in minted if not ledger.covers(moment)]
        if not times and not minted:
            return
        async with await self._connect() as connection:
            self._catalog = await catalog.read(connection)
            await self._create(connection, ["batches"], minted)
            await self._create(connection, _OF_ROWS, times)

    async def _connect(self) -> store.Connection:
        return await store.connect(self._dsn, application_name="godot-otel partitions")

    async def _create(
        self, connection: store.Connection, parents: list[str], moments: Iterable[int]
    ) -> None:
        """Make what is missing of *parents*, at each moment of all in one transaction.

        Retention gives up all of a time in one transaction too. So rows never have
        their filters in a partition that goes before theirs.
        """
        for moment in sorted(moments):
            if self._covers(parents, moment):
                continue
            for one in self._catalog.leaving():
                if one.parent in parents and one.lower <= moment < one.upper:
                    await dropping.finish(connection, one)
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '2s'")
                await catalog.lock(connection)
                # Under the lock, because another collector may have been faster.
                self._catalog = await catalog.read(connection)
                for parent in parents:
                    await self._make(connection, parent, moment)
            self._catalog = await catalog.read(connection)

    def _covers(self, parents: list[str], moment: int) -> bool:
        return all(self._catalog.usable(parent).covers(moment) for parent in parents)

    async def _make(
        self, connection: store.Connection, parent: str, moment: int
    ) -> None:
        if self._catalog.usable(parent).covers(moment):
            return
        taken = self._catalog.taken(parent)
        if taken.covers(moment):
            raise RetryableError(f"a partition of {parent} is being dropped")
        width = self.rules.width if parent in TIMED else DAY
        # Tables that came with a later release join those of the time that are there.
        beside = self._catalog.taken("logs").bounds(moment) if parent in TIMED else None
        bounds = beside or taken.gap(moment, width)
        await _attach(connection, parent, *bounds)


async def _attach(
    connection: store.Connection, parent: str, lower: int, upper: int
) -> None:
    """Create one partition and enter it into the catalog."""
    first, end = _utc(lower), _utc(upper)
    name = await _free_name(connection, parent, lower, upper)
    column = (TIMED | DAILY)[parent]
    bounds = (_uuid(lower), _uuid(upper)) if parent == "batches" else (first, end)
    parts = {
        "name": compose.Identifier(name),
        "parent": compose.Identifier(parent),
        "column": compose.Identifier(column),
        "lower": compose.Literal(str(bounds[0])),
        "upper": compose.Literal(str(bounds[1])),
    }
    create = (
        "CREATE TABLE {name} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
        " INCLUDING INDEXES INCLUDING STORAGE,"
        " CONSTRAINT bounds CHECK ({column} >= {lower} AND {column} < {upper}))"
    )
    await connection.execute(compose.SQL(create).format(**parts))
    fault.point("partition_created_not_attached")
    for statement in (
        "ALTER TABLE {parent} ATTACH PARTITION {name}"
        " FOR VALUES FROM ({lower}) TO ({upper})",
        "ALTER TABLE {name} DROP CONSTRAINT bounds",
    ):
        await connection.execute(compose.SQL(statement).format(**parts))
    await connection.execute(
        "INSERT INTO partitions (name, parent, lower, upper) VALUES (%s, %s, %s, %s)",
        [name, parent, first, end],
    )


async def _free_name(
    connection: store.Connection, parent: str, lower: int, upper: int
) -> str:
    """Name a partition by its time; where somebody kept the one before, by a number."""
    form = "%Y%m%d" if not (lower % DAY or upper % DAY) else "%Y%m%d%H%M"
    name = candidate = f"{parent}_{_utc(lower):{form}}"
    number = 1
    while True:
        cursor = await connection.execute("SELECT to_regclass(%s)", [candidate])
        row = await cursor.fetchone()
        if row == (None,):
            return candidate
        number += 1
        candidate = f"{name}_{number}"


def _utc(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _uuid(microseconds: int) -> uuid.UUID:
    return uuid.UUID(int=(microseconds // 1000) << 80)
