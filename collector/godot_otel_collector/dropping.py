"""Takes a partition away, from wherever it was left: detach, finalize, drop.

DETACH CONCURRENTLY marks the partition as pending, which hides it from new queries, and
waits until those that know it have ended; meanwhile it holds no lock on the parent.
Where it was interrupted the partition stays pending, and until FINALIZE Postgres lets
no other be detached. FINALIZE waits with a lock that keeps others from attaching
partitions, so it waits for a moment only, and again in the next round.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Literal

import psycopg
from psycopg import sql as compose

from godot_otel import fault, store
from godot_otel.errors import RetryableError
from godot_otel_collector import catalog
from godot_otel_collector.catalog import Partition

log = logging.getLogger(__name__)

# One at a time does this: by the time a second one came to drop a name, a third could
# have made a new partition of that name.
_LOCK = 0x60D0A


class InUseError(RetryableError):
    """A long query still reads what is to be dropped; it goes when that has ended."""


async def finish(connection: store.Connection, partition: Partition) -> None:
    """Bring to its end what was begun: after this, the name and the range are free.

    The table of a partition that retention has not given up is somebody's, who
    detached it: it stays, as a table by itself.

    Raises:
        InUseError: a query that began earlier is not over yet, or another collector is
            at it.
    """
    # Not waited for: FINALIZE waits for those who wait.
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
    if await cursor.fetchone() != (True,):
        raise InUseError(f"another collector takes away {partition.name} or another")
    try:
        await _finish(connection, partition.name)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        raise InUseError(
            f"{partition.name} goes when a query that began earlier has ended"
        ) from None
    finally:
        # A connection that is gone took the lock with it; an error of it here would
        # hide why, and that this task was cancelled.
        with contextlib.suppress(psycopg.Error):
            await connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


async def _finish(connection: store.Connection, name: str) -> None:
    await connection.execute("SET lock_timeout = '2s'")
    found = await catalog.read(connection)  # another may have been faster
    one = next((one for one in found.leaving() if one.name == name), None)
    if one is None:
        return
    for other in found.leaving():
        # Of any other too: while one is pending the parent lets none be detached.
        if other.parent == one.parent and other.state == "pending":
            await connection.execute("SET lock_timeout = '1s'")
            await _alter(connection, other, "FINALIZE")
    await connection.execute("SET lock_timeout = '2s'")
    if one.state == "attached":
        await _alter(connection, one, "CONCURRENTLY")
    fault.point("detached_not_dropped")
    async with connection.transaction():
        if one.dropping:
            statement = compose.SQL("DROP TABLE IF EXISTS {}")
            await connection.execute(statement.format(compose.Identifier(name)))
        await connection.execute("DELETE FROM partitions WHERE name = %s", [name])
    log.info("%s %s", "dropped" if one.dropping else "forgot", name,
             extra={"action": "partition_dropped"})  # fmt: skip # one sentence


async def _alter(
    connection: store.Connection,
    partition: Partition,
    how: Literal["CONCURRENTLY", "FINALIZE"],
) -> None:
    statement = compose.SQL("ALTER TABLE {} DETACH PARTITION {} {}")
    names = compose.Identifier(partition.parent), compose.Identifier(partition.name)
    await connection.execute(statement.format(*names, compose.SQL(how)))
