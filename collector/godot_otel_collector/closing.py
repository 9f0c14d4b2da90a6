"""Closes partitions whose time is over: fewer rows in the rollups, everything frozen.

Every batch appends rows to the rollups; once its time is over they are merged, a slice
at a time. Freezing now saves the rows from being rewritten all together much later.
Rows may still come to a closed partition: it is then closed once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from psycopg import sql as compose

from godot_otel import sql, store
from godot_otel_collector.pace import breathe

_MINUTES = timedelta(minutes=10)
_ID_SLICES = 8


class Closing:
    """Merges rollups and freezes, one partition after the other."""

    action = "closing"
    interval = 0.0

    async def run(self, connection: store.Connection) -> None:
        """Close the oldest few that are due; the next round goes on."""
        # As gentle as autovacuum: without this a VACUUM takes the disk for itself.
        await connection.execute("SET vacuum_cost_delay = '2ms'")
        # What was filled a moment ago has no statistics yet: it is thought to be small,
        # and a nested loop over it would take hours.
        await connection.execute("SET enable_nestloop = off")
        cursor = await connection.execute(cast(Any, sql.query("closable")))
        for name, lower, upper in await cursor.fetchall():
            await self._close(connection, name, lower, upper)
        cursor = await connection.execute(cast(Any, sql.query("closable_days")))
        for (name,) in await cursor.fetchall():
            await _vacuum(connection, name)
            await _note(connection, name)

    async def _close(
        self,
        connection: store.Connection,
        name: str,
        lower: datetime,
        upper: datetime,
    ) -> None:
        for since, until in _minutes(lower, upper):
            async with breathe():
                values: dict[str, Any] = {"since": since, "until": until}
                await _run(connection, "compact_counts", values)
                await _run(connection, "compact_operations", values)
        for from_id, to_id in _ids():
            async with breathe():
                values = {"from_id": from_id, "to_id": to_id}
                values |= {"lower": lower, "upper": upper}
                await _run(connection, "compact_traces", values)
        # Collectors of the release before note no hours of what comes late to them.
        await _run(connection, "late_hours", {"since": lower, "until": upper})
        names = [name, *await _beside(connection, lower, upper)]
        for one in names:
            await _vacuum(connection, one)
        for one in names:
            await _note(connection, one)


def _minutes(lower: datetime, upper: datetime) -> Iterator[tuple[datetime, datetime]]:
    while lower < upper:
        until = min(lower + _MINUTES, upper)
        yield lower, until
        lower = until


def _ids() -> Iterator[tuple[UUID, UUID]]:
    """Cut all trace ids into ranges."""
    width = (1 << 128) // _ID_SLICES
    for start in range(0, 1 << 128, width):
        yield UUID(int=start), UUID(int=start + width - 1)


async def _run(connection: store.Connection, name: str, values: dict[str, Any]) -> None:
    # Never prepared: a generic plan would lock every partition before it pruned them.
    await connection.execute(cast(Any, sql.query(name)), values, prepare=False)


async def _beside(
    connection: store.Connection, lower: datetime, upper: datetime
) -> list[str]:
    """The partitions of the same time that belong to one of logs."""
    cursor = await connection.execute(
        "SELECT name FROM partitions"
        " WHERE parent NOT IN ('logs', 'batches', 'trace_index')"
        " AND lower >= %s AND upper <= %s AND dropped_at IS NULL",
        [lower, upper],
    )
    return [name for (name,) in await cursor.fetchall()]


async def _vacuum(connection: store.Connection, name: str) -> None:
    statement = compose.SQL("VACUUM (FREEZE, ANALYZE) {}")
    async with breathe():
        await connection.execute(statement.format(compose.Identifier(name)))


async def _note(connection: store.Connection, name: str) -> None:
    await connection.execute(
        "UPDATE partitions SET closed_at = now() WHERE name = %s", [name]
    )
