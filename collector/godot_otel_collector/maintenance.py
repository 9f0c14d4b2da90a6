"""Maintains the store: retention, closing, counting, forgetting, packing, in turn.

Of all collectors one does it, whichever holds the advisory lock of its own connection;
when that connection ends, however it ends, another takes the lock. Nothing of it is in
the transaction that stores rows, and no statement waits long for a lock: what waits for
a lock makes others wait behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import Protocol

import psycopg

from godot_otel import queue, store
from godot_otel.errors import GodotError, StoreUnreachableError
from godot_otel_collector.closing import Closing
from godot_otel_collector.dropping import InUseError
from godot_otel_collector.forgetting import Forgetting
from godot_otel_collector.hours import Hours
from godot_otel_collector.packs import Packs
from godot_otel_collector.retention import Retention

log = logging.getLogger(__name__)

_LOCK = 0x60D09
_ROUND_SECONDS = 60.0
_STANDBY_SECONDS = 2.0
_AWAY_SECONDS = 5.0
_IN_USE_SECONDS = 2.0
_MORE_SECONDS = 2.0  # where there is more to pack than fits into a round


class Task(Protocol):
    """A part of maintenance, by which its log lines are named."""

    action: str
    interval: float
    """Seconds between two runs, where a round is too often."""

    async def run(self, connection: store.Connection) -> None:
        """Do what is due."""


class Maintenance:
    """Runs the tasks in rounds, while it holds the lock."""

    def __init__(self, owner_dsn: str, *, source: queue.Queue) -> None:
        self._dsn = owner_dsn
        self._packs = Packs()
        self._tasks: tuple[Task, ...] = (
            Retention(source),
            Closing(),
            Hours(),
            Forgetting(),
            self._packs,
        )
        self._due: dict[str, float] = {}
        self._waiting = ""
        self._leads = False
        self._connection: store.Connection | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until *stopping*, then leave the store as it is at that moment.

        Whatever fails is logged, and tried again.
        """
        rounds = asyncio.create_task(self._rounds())
        try:
            await stopping.wait()
        finally:
            await store.end(rounds)

    async def _rounds(self) -> None:
        try:
            while True:
                pause = await self._turn()
                # Not all at once, where many collectors were started together.
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 # no secret
        finally:
            await self._close()

    async def _turn(self) -> float:
        """Do one round, if it is ours to do; return the seconds until the next."""
        try:
            connection = await self._open()
            if not await self._lead(connection):
                return _STANDBY_SECONDS
            return await self._round(connection)
        except (psycopg.Error, StoreUnreachableError, OSError) as error:
            log.warning("no maintenance: %s", _said(error),
                        extra={"action": "maintenance_failed"})  # fmt: skip
            await self._close()
            return _AWAY_SECONDS

    async def _round(self, connection: store.Connection) -> float:
        pause = _ROUND_SECONDS
        for task in self._tasks:
            if time.monotonic() < self._due.get(task.action, 0.0):
                continue
            if task is self._packs and pause < _ROUND_SECONDS:
                continue  # it takes a while, and what waits is asked for soon
            try:
                await task.run(connection)
                self._due[task.action] = time.monotonic() + task.interval
            except InUseError as error:
                pause = _IN_USE_SECONDS
                if str(error) != self._waiting:  # the same every two seconds says less
                    log.info("%s", error, extra={"action": task.action})
                self._waiting = str(error)
            except Exception as error:
                if connection.closed:
                    raise
                log.warning("%s failed, again in a minute: %s", task.action,
                            _said(error), extra={"action": task.action})  # fmt: skip
        return min(pause, _MORE_SECONDS) if self._packs.more else pause

    async def _open(self) -> store.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = await store.connect(
                self._dsn, application_name="godot-otel maintenance"
            )
            self._leads = False
            await self._connection.execute("SET lock_timeout = '2s'")
            # When we are killed, so is a statement that would yet take long; a server
            # on Windows cannot notice.
            with contextlib.suppress(psycopg.errors.InvalidParameterValue):
                await self._connection.execute(
                    "SET client_connection_check_interval = '2s'"
                )
        return self._connection

    async def _lead(self, connection: store.Connection) -> bool:
        if not self._leads:
            cursor = await connection.execute(
                "SELECT pg_try_advisory_lock(%s)", [_LOCK]
            )
            self._leads = await cursor.fetchone() == (True,)
        return self._leads

    async def _close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None


def _said(error: BaseException) -> str:
    """What failed, without quoting the store: its text may hold stored data."""
    if isinstance(error, GodotError):
        return str(error)
    if isinstance(error, psycopg.Error):
        return f"{type(error).__name__} ({error.sqlstate})"
    return type(error).__name__
