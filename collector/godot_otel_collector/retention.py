"""Gives up what is too old or too much, and takes it away.

First a note in the catalog, for all tables of a time at once; from then on no new row
is sent there. Then each partition goes, see ``dropping``. Killed in between, whoever
maintains next reads the note.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from redis.exceptions import RedisError

from godot_otel import queue, sql, store
from godot_otel_collector import catalog, dropping
from godot_otel_collector.calendar import LEDGER_DAYS

_PAUSE = 0.2  # seconds; most of what a drop takes is waiting, which costs nobody
_CLOCKS = timedelta(days=1)  # by which ours and the queue's may differ


class Retention:
    """Drops the partitions that the settings no longer keep."""

    action = "retention"
    interval = 0.0

    def __init__(self, source: queue.Queue) -> None:
        self._queue = source

    async def run(self, connection: store.Connection) -> None:
        """Finish what was begun, then drop what is due, the oldest first.

        Raises:
            InUseError: a long query has to end first.
        """
        await _drop(connection)
        horizon = await self._ledger_horizon()
        async with connection.transaction():
            await catalog.lock(connection)
            await connection.execute(_query("expire_days"))
            await connection.execute(_query("expire_traces"))
            if horizon is not None:
                await connection.execute(_query("expire_ledger"), [horizon])
        await _drop(connection)
        while await _over(connection):  # one at a time: each is measured anew
            await _drop(connection)

    async def _ledger_horizon(self) -> datetime | None:
        """Before this no batch is accepted any more; None: cannot be told now.

        A batch's age is told by when the queue took it, so what waits there since long
        still needs the ledger of then: it may have been stored and not acknowledged.
        """
        try:
            age = (await self._queue.depth()).oldest_age_seconds
        except (RedisError, OSError):
            return None
        waiting = timedelta(seconds=age)
        return datetime.now(UTC) - waiting - timedelta(days=LEDGER_DAYS) - _CLOCKS


async def _over(connection: store.Connection) -> bool:
    """Give up the oldest hour if the store is too large; say whether it was."""
    async with connection.transaction():
        await catalog.lock(connection)
        cursor = await connection.execute(_query("expire_bytes"))
        given_up = cursor.rowcount > 0
        await connection.execute(_query("expire_traces"))
    return given_up


async def _drop(connection: store.Connection) -> None:
    found = await catalog.read(connection)
    for one in found.leaving():
        await dropping.finish(connection, one)
        await asyncio.sleep(_PAUSE)


def _query(name: str) -> Any:
    return cast(Any, sql.query(name))
