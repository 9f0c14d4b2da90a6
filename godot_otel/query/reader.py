"""The way to the store for those who only read: found anew, bounded, honest when away.

A reader outlives the store: it starts without one, and answers once there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, cast

import psycopg
from psycopg_pool import PoolTimeout
from redis.exceptions import RedisError

from godot_otel import settings, state, store
from godot_otel.errors import GodotError, SchemaError, StoreUnreachableError
from godot_otel.query.filters import FilterError
from godot_otel.query.lending import Ask, Lent, Rows, configure, take
from godot_otel.query.line import rfc3339
from godot_otel.queue import Depth, Queue

QUEUE_TIMEOUT = 0.8


class TooSlowError(GodotError):
    """The store stopped this after its statement timeout; narrow time or filters."""


class Reader:
    """Reads one store; ``async with`` closes its connections.

    Without *dsn*, each question looks where the store is: GODOT_POSTGRES_READER_DSN,
    GODOT_POSTGRES_DSN, then the running stack of *data_dir*; likewise the queue.
    """

    def __init__(
        self,
        dsn: str | None = None,
        redis_url: str | None = None,
        *,
        data_dir: Path | None = None,
    ) -> None:
        self._dsn = dsn
        self._redis_url = redis_url
        self._data_dir = data_dir
        self._pool: tuple[str, store.Pool] | None = None
        self._queue: tuple[str, Queue] | None = None
        self._away_since: datetime | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool:
            # Its workers still try to reach a store that is away: no answer waits.
            await self._pool[1].close(timeout=0.0 if self._away_since else 1.0)
        if self._queue:
            await self._queue[1].close()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[store.Connection]:
        """Lend a connection in autocommit mode for one answer; raises like ``ask``."""
        async with self.ask() as lent:
            yield lent.connection

    @contextlib.asynccontextmanager
    async def ask(self, asked: Ask | None = None) -> AsyncIterator[Lent]:
        """Lend a connection with the rows of *asked*, in one statement.

        Raises:
            StoreUnreachableError: there is no store, or it does not answer; within
                3 s, with the time since when and what the queue holds meanwhile.
            TooSlowError: a statement passed its timeout.
            SchemaError: the database is no store yet, or not one for this program.
        """
        pool = await self._open_pool()
        try:
            lent = await take(pool, asked)
        except (PoolTimeout, TimeoutError, psycopg.OperationalError):
            raise await self._unreachable() from None
        try:
            if lent.versions:
                store.check_versions(*lent.versions)
            if lent.refusal:
                raise lent.refusal
            self._away_since = None
            yield lent
        except psycopg.errors.QueryCanceled:
            raise TooSlowError from None
        except psycopg.errors.UndefinedTable:
            sentence = "the store has no schema yet: run `godot-otel migrate`."
            raise SchemaError(sentence) from None
        except psycopg.errors.InvalidRegularExpression:
            raise FilterError(
                "where: that is no regular expression, or too large a one"
            ) from None
        except psycopg.OperationalError:
            raise await self._unreachable() from None
        except psycopg.Error as error:
            # Its text may quote stored data; the code says what went wrong.
            raise GodotError(f"the store refused ({error.sqlstate})") from None
        finally:
            await pool.putconn(lent.connection)

    async def depth(self) -> Depth | None:
        """Say how full the queue is; None when there is none to ask."""
        url = self._redis_url or self._setting("redis_url")
        if not url:
            return None
        if self._queue is None or self._queue[0] != url:
            self._queue = (url, Queue(url))
        try:
            async with asyncio.timeout(QUEUE_TIMEOUT):
                return await self._queue[1].depth()
        except (RedisError, OSError, TimeoutError):
            return None

    def _setting(self, *names: str) -> str | None:
        return state.find(*names, data_dir=self._data_dir)

    def _find(self) -> str:
        found = self._dsn or self._setting("postgres_reader_dsn", "postgres_dsn")
        if found is None:
            where = self._data_dir or settings.data_dir()
            raise StoreUnreachableError(
                f"nothing runs in {where} and GODOT_POSTGRES_READER_DSN is not set:"
                " start everything with `godot-otel up`"
            )
        return found

    async def _open_pool(self) -> store.Pool:
        dsn = self._find()
        async with self._lock:
            if self._pool is None or self._pool[0] != dsn:
                store.place(dsn)  # a malformed one is said now, not tried for ever
                if self._pool:
                    await self._pool[1].close(timeout=1.0)
                self._pool = (dsn, await store.open_pool(dsn, configure=configure))
            return self._pool[1]

    async def _unreachable(self) -> StoreUnreachableError:
        self._away_since = self._away_since or datetime.now(UTC)
        sentence = f"store unreachable since {rfc3339(self._away_since)}"
        depth = await self.depth()
        if depth is not None:
            sentence += f", {depth.records} records queued, nothing lost"
        else:
            sentence += "; the queue cannot be asked either"
        if self._dsn is None:
            sentence += (
                " (`godot-otel up` starts a stack, `godot-otel status` says more)"
            )
        return StoreUnreachableError(sentence)


async def fetch(
    connection: store.Connection,
    statement: str,
    values: Sequence[Any] | Mapping[str, Any] = (),
    **clauses: object,
) -> Rows:
    """Run one statement and return its rows.

    ``{name}`` in the statement is replaced by the clauses of that name: text that
    ``clauses.py`` made, with a placeholder for each value. Never prepared on the
    server: a generic plan would lock every partition before it pruned them.
    """
    if clauses:
        statement = statement.format(**clauses)
    cursor = await connection.execute(cast(Any, statement), values, prepare=False)
    return cast(Rows, await cursor.fetchall())
