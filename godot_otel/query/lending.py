"""Lending a connection for one answer: one that lives, in time, with its first rows.

What an answer asks first is one statement with the look at the schema: each statement,
and each round trip, costs a reader that asks now and then as much as what it asks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import psycopg

from godot_otel import store

CONNECT_TIMEOUT = 1.8  # with the queue's, below the 3 s in which every door answers
STATEMENT_TIMEOUT = "10s"  # where the role has none of its own

# Once for each connection. Reading stays reading even with the owner's DSN, and a
# client that gave up cannot leave a statement running for ever.
_CONFIGURE = """
SELECT set_config('TimeZone', 'UTC', false), set_config('jit', 'off', false),
       set_config('default_transaction_read_only', 'on', false),
       CASE WHEN current_setting('statement_timeout') = '0'
            THEN set_config('statement_timeout', %s, false) END
"""

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Ask:
    """A query with what it binds by name.

    Lending has each session plan it once, because that costs more than to run it. Such
    a plan locks all partitions, so it is for tables that have none, or one for a day.
    """

    query: str
    values: Mapping[str, Any]

    def beside(self, other: Ask) -> Ask:
        """This one's row, followed by each of *other*, which may have none: nulls."""
        query = _BESIDE.format(self.query, other.query)
        return Ask(query, {**self.values, **other.values})


_BESIDE = "SELECT * FROM ({}) AS one LEFT JOIN ({}) AS two ON true"
# Before each answer: the schema may have changed since the last one.
_VERSIONS = Ask(
    "SELECT (SELECT max(number) FROM schema_migrations),"
    " (SELECT oldest_reader FROM settings)",
    {},
)


@dataclass(frozen=True, slots=True)
class Lent:
    """A connection, and what the store said over it."""

    connection: store.Connection
    versions: tuple[Any, ...] = ()
    rows: Sequence[tuple[Any, ...]] = ()
    """Of what was asked."""
    refusal: psycopg.Error | None = None
    """Instead of rows; instead of versions too, where there is no schema."""


async def configure(connection: store.Connection) -> None:
    """Make a new connection one that reads."""
    await connection.execute(_CONFIGURE, [STATEMENT_TIMEOUT], prepare=False)


async def take(pool: store.Pool, asked: Ask | None) -> Lent:
    """Get a connection in time, also from a server that accepts and says nothing.

    Cancelling psycopg waits for the server's word, so a late task is left to end by
    itself and hands its connection back.

    Raises:
        TimeoutError, PoolTimeout, psycopg.OperationalError: there is none.
    """
    task = asyncio.ensure_future(_lend(pool, asked))
    try:
        done, _ = await asyncio.wait({task}, timeout=CONNECT_TIMEOUT + 0.2)
    except asyncio.CancelledError:
        _abandon(pool, task)
        raise
    if not done:
        _abandon(pool, task)
        raise TimeoutError
    return task.result()


async def _lend(pool: store.Pool, asked: Ask | None) -> Lent:
    """Ask over one connection after the other until one lives."""
    deadline = time.monotonic() + CONNECT_TIMEOUT
    while True:
        connection = await pool.getconn(timeout=deadline - time.monotonic())
        try:
            return await _ask(connection, asked)
        except BaseException as error:
            await pool.putconn(connection)  # which replaces it where it is closed
            if not (isinstance(error, psycopg.Error) and connection.closed):
                raise


async def _ask(connection: store.Connection, asked: Ask | None) -> Lent:
    try:
        rows = await _rows(connection, asked)
    except psycopg.Error as error:
        if connection.closed:
            raise
        refusal = error
    else:
        return Lent(connection, rows[0][:2], [row[2:] for row in rows])
    # On a schema that is not ours anything may fail: its versions go first.
    try:
        versions = await _rows(connection, None)
    except psycopg.Error as error:
        if connection.closed:
            raise
        return Lent(connection, refusal=error)
    return Lent(connection, versions[0], refusal=refusal)


async def _rows(connection: store.Connection, asked: Ask | None) -> Rows:
    """What is asked, a row's versions first."""
    whole = _VERSIONS.beside(asked) if asked else _VERSIONS
    cursor = await connection.execute(
        cast(Any, whole.query), whole.values, prepare=True
    )
    return cast(Rows, await cursor.fetchall())


_late: set[asyncio.Future[Any]] = set()  # the loop itself holds tasks only weakly


def _abandon(pool: store.Pool, task: asyncio.Task[Lent]) -> None:
    async def give_back() -> None:
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await pool.putconn((await task).connection)

    task.cancel()
    late = asyncio.ensure_future(give_back())
    _late.add(late)
    late.add_done_callback(_late.discard)
