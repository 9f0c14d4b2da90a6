"""Packs the lines of closed partitions, a day after their time is over.

A line is too short for Postgres to compress; many of them in one row it does, so that
most of what is kept takes less than half the space. For a day all stay as they came.
Lines that come later still are rows beside the packs, until there are many.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any, cast

import psycopg
from psycopg import sql as compose

from godot_otel import fault, sql, store
from godot_otel_collector.pace import breathe

_AT_ONCE = 4096  # lines; pack_next.sql reads one more
_SECONDS = 40.0  # of a round; the next goes on
_MICROSECOND = timedelta(microseconds=1)


class Packs:
    """Moves lines from ``logs`` into ``log_packs``, some at a time."""

    action = "packing"
    interval = 0.0

    def __init__(self) -> None:
        self.more = False
        """Whether the last run left something that is due."""

    async def run(self, connection: store.Connection) -> None:
        """Pack for a while what is due: first what was begun, then the newest.

        Raises:
            psycopg.Error: of the first that could not be packed, after the others.
        """
        self.more = False
        # A newer release's column would be lost: its own collectors pack. (And clear of
        # an older release would lose it in packs: who adds one raises oldest_reader.)
        if max(await store.applied(connection)) != sql.migrations()[-1].number:
            return
        await connection.execute("SET vacuum_cost_delay = '2ms'")
        ends = time.monotonic() + _SECONDS
        cursor = await connection.execute(cast(Any, sql.query("packable")))
        failed: psycopg.Error | None = None
        for name, packs, lower, upper in await cursor.fetchall():
            try:
                self.more = not await _pack(connection, name, packs, lower, upper, ends)
            except psycopg.Error as error:
                if connection.closed:
                    raise
                failed = failed or error
            if self.more:
                break
        if failed:
            raise failed


async def _pack(
    connection: store.Connection,
    name: str,
    packs: str,
    lower: datetime,
    upper: datetime,
    ends: float,
) -> bool:
    """Pack a partition; say whether all of it is.

    It is finished when its rows' room is given back as well; until then each round
    comes again.
    """
    await _run(connection, "pack_begin", [name])
    if not await _pack_lines(connection, lower, upper, ends):
        return False
    for table in (name, packs):
        vacuum = compose.SQL("VACUUM (FREEZE, ANALYZE) {}")
        async with breathe():
            await connection.execute(vacuum.format(compose.Identifier(table)))
    if await _shrink(connection, name):
        await connection.execute(
            "UPDATE partitions SET packed_at = now() WHERE name = %s", [name]
        )
    return True


async def _pack_lines(
    connection: store.Connection, lower: datetime, upper: datetime, ends: float
) -> bool:
    """Pack the rows of a partition; say whether all are."""
    while time.monotonic() < ends:
        cursor = await _run(connection, "pack_next", [lower, upper])
        found, first, last = cast(Any, await cursor.fetchone())
        if not found:
            return True
        until = upper
        if found > _AT_ONCE:
            until = max(last, first + _MICROSECOND)  # so many in one microsecond
        async with breathe():
            await _run(connection, "pack_lines", {"since": first, "until": until})
        fault.point("packed_in_part")
        lower = until
    return False


async def _run(
    connection: store.Connection, name: str, values: list[Any] | dict[str, Any]
) -> psycopg.AsyncCursor[Any]:
    # Never prepared: a generic plan would lock every partition before it pruned them.
    return await connection.execute(cast(Any, sql.query(name)), values, prepare=False)


async def _shrink(connection: store.Connection, name: str) -> bool:
    """Give back what the indexes of a partition take of which no row is left.

    Nobody can see a row of it any more where VACUUM has left no page. False: somebody
    reads it, or can still see rows that were packed. (True where rows came meanwhile.)
    """
    table = compose.Identifier(name)
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '0.5s'")
            lock = compose.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE")
            await connection.execute(lock.format(table))
            cursor = await connection.execute(
                "SELECT pg_relation_size(to_regclass(quote_ident(%s)))", [name]
            )
            if await cursor.fetchone() == (0,):
                await connection.execute(compose.SQL("TRUNCATE {}").format(table))
                return True
            rows = compose.SQL("SELECT EXISTS (SELECT FROM {})").format(table)
            return await (await connection.execute(rows)).fetchone() == (True,)
    except psycopg.errors.LockNotAvailable:
        return False
