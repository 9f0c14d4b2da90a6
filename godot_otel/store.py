"""The store's connections, its migrations, and whether this program fits its schema."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import psycopg
from psycopg import sql as compose
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from godot_otel import sql
from godot_otel.errors import (
    GodotError,
    SchemaError,
    SettingError,
    StoreUnreachableError,
)

_MALFORMED = (
    "a Postgres URL is malformed: see GODOT_POSTGRES_DSN, GODOT_POSTGRES_WRITER_DSN and"
    " GODOT_POSTGRES_READER_DSN"
)
MIGRATION_LOCK = 0x60D07  # any number that nobody else's program is likely to take
PARTITION_LOCK = 0x60D08
"""Held to a transaction's end by whoever makes partitions or gives them up."""

MOST_PARTITIONS = 400
_CANCEL_SECONDS = 0.5

Connection = psycopg.AsyncConnection[Any]
Pool = AsyncConnectionPool[Connection]


async def connect(dsn: str, *, application_name: str = "godot-otel") -> Connection:
    """Open one connection in autocommit mode.

    Raises:
        StoreUnreachableError: nobody answers, or not to us; the message says which
            host, and never holds a password.
    """
    try:
        return await psycopg.AsyncConnection.connect(
            dsn, autocommit=True, application_name=application_name, connect_timeout=5
        )
    except psycopg.OperationalError as error:
        message = f"the store at {place(dsn)} cannot be reached: {_first_line(error)}"
        raise StoreUnreachableError(message) from None
    except psycopg.ProgrammingError:
        raise SettingError(_MALFORMED) from None


async def open_pool(
    dsn: str, *, configure: Callable[[Connection], Awaitable[None]], max_size: int = 4
) -> Pool:
    """Open a pool that keeps trying to connect; it never waits for the first one.

    *configure* sees each connection once; one that it raises for is replaced.
    """
    pool: Pool = AsyncConnectionPool(
        dsn,
        min_size=1,
        max_size=max_size,
        open=False,
        timeout=3.0,
        kwargs={"autocommit": True, "application_name": "godot-otel"},
        configure=configure,
    )
    await pool.open()
    return pool


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task that asks the store, and wait for its end.

    More than once: a cancellation that meets the end of a statement can be lost on its
    way through psycopg.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_SECONDS)


def place(dsn: str) -> str:
    """Say where a DSN leads, without user or password."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise SettingError(_MALFORMED) from None
    return f"{parts.get('host', 'localhost')}/{parts.get('dbname', '')}"


def refusal(error: psycopg.Error) -> GodotError:
    """Say what a refusal means to who works as the store's owner.

    The text of *error* may quote stored data; its code says what went wrong.
    """
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return SettingError(
            "GODOT_POSTGRES_DSN must name the owner of the store's tables: who it"
            " names may not do this."
        )
    why = error.sqlstate or type(error).__name__
    return GodotError(f"the store gave up or went away ({why})")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def role_names(database: str) -> dict[str, str]:
    """Name the writer and the reader; roles are cluster-wide, so by database."""
    return {"writer": f"godot_writer_{database}", "reader": f"godot_reader_{database}"}


async def migrate(
    dsn: str,
    *,
    dry_run: bool = False,
    retention_days: int | None = None,
    retention_bytes: int | None = None,
    default_bytes: int | None = None,
    partition: str | None = None,
    newest: int | None = None,
) -> list[str]:
    """Bring the schema up to date, one transaction a migration; name what was applied.

    *retention_days*, *partition* (auto, hour or day) and *retention_bytes* (0: no
    limit) are written into the store, which is where the collectors read them. None
    leaves each as it is, for less would be kept than somebody chose before;
    *default_bytes* holds where nobody ever chose. *newest* is the last migration to
    apply; None: the last there is.

    Safe to run by many at once and again and again. With *dry_run* nothing changes.

    Raises:
        SchemaError: the schema is newer than this program, or a migration that was
            applied has since been edited.
    """
    async with await connect(dsn, application_name="godot-otel migrate") as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        known = await applied(connection)
        await _refuse_newer(connection, known)
        pending = [m for m in sql.migrations() if m.number not in known]
        if newest is not None:
            pending = [m for m in pending if m.number <= newest]
        if not dry_run:
            for migration in pending:
                await _apply(connection, migration)
            if newest is None:
                await _grant(connection)
            await raise_xid_base(connection)
            if retention_days is not None or partition is not None:
                await _keep(connection, retention_days, partition or "auto")
            await connection.execute(
                "UPDATE settings SET retention_bytes"
                " = coalesce(%s::bigint, retention_bytes, %s::bigint)",
                [retention_bytes, default_bytes],
            )
        return [migration.name for migration in pending]


async def check_schema(connection: Connection) -> None:
    """Return when this program may work on the schema as it is.

    Raises:
        SchemaError: it is missing, older than the program, or says that it needs a
            newer one.
    """
    known = await applied(connection)
    if not known:
        raise SchemaError("the store has no schema yet: run `godot-otel migrate`.")
    await _refuse_newer(connection, known)
    check_versions(max(known), 0)


def check_versions(newest: int | None, oldest_reader: int) -> None:
    """Return when a program may work on a schema of these facts.

    *newest* is the number of its newest migration; *oldest_reader* that of the newest
    one of the oldest program it allows.

    Raises:
        SchemaError: the schema, or the program, is too old.
    """
    ours = sql.migrations()[-1]
    if (newest or 0) < ours.number:
        raise SchemaError(
            f"the store's schema lacks {ours.name}: run `godot-otel migrate`."
        )
    if oldest_reader > ours.number:
        raise SchemaError(
            f"the store's schema ({newest}) is newer than this program"
            f" allows ({ours.number}): upgrade godot-otel."
        )


async def applied(connection: Connection) -> dict[int, str]:
    """The migrations of a store, by number with their checksums."""
    exists = await one(connection, "SELECT to_regclass('schema_migrations') AS name")
    if exists["name"] is None:
        return {}
    cursor = await connection.execute("SELECT number, checksum FROM schema_migrations")
    return dict(await cursor.fetchall())


async def _refuse_newer(connection: Connection, applied: dict[int, str]) -> None:
    for migration in sql.migrations():
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise SchemaError(
                f"migration {migration.name} was applied with another content; this"
                " store and this program do not belong together."
            )
    ours = sql.migrations()[-1].number
    if applied and max(applied) > ours:
        row = await one(connection, "SELECT oldest_reader FROM settings")
        check_versions(max(applied), row["oldest_reader"])


async def _apply(connection: Connection, migration: sql.Migration) -> None:
    async with connection.transaction():
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number integer PRIMARY KEY,"
            " name text NOT NULL, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        await connection.execute(cast(Any, migration.text))
        await connection.execute(
            "INSERT INTO schema_migrations (number, name, checksum)"
            " VALUES (%s, %s, %s)",
            [migration.number, migration.name, migration.checksum],
        )


async def raise_xid_base(connection: Connection) -> None:
    """Let the next seq be above every one that is stored."""
    statement = compose.SQL(cast(Any, sql.query("raise_xid_base")))
    for table in ("word_filters", "span_filters"):
        found = await connection.execute("SELECT to_regclass(%s)", [table])
        if await found.fetchone() != (None,):  # the schema of an older backup has fewer
            filters = compose.Identifier(table)
            await connection.execute(statement.format(filters=filters))


async def _grant(connection: Connection) -> None:
    """Let the roles do their part, where an administrator has made them."""
    database = connection.info.dbname
    roles = role_names(database)
    cursor = await connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(roles.values())]
    )
    if len(await cursor.fetchall()) == len(roles):
        await connection.execute(await _fill("grants", connection, roles))


async def roles_text(dsn: str) -> str:
    """The statements an administrator runs once to make the roles."""
    async with await connect(dsn) as connection:
        roles = role_names(connection.info.dbname)
        filled = await _fill("roles", connection, roles)
        return filled.as_string(connection)


async def _fill(
    name: str, connection: Connection, roles: dict[str, str]
) -> compose.Composed:
    row = await one(connection, "SELECT current_schema() AS schema")
    names = {
        "schema": row["schema"],
        "database": connection.info.dbname,
        "owner": connection.info.user,
        **roles,
    }
    identifiers = {key: compose.Identifier(value) for key, value in names.items()}
    return compose.SQL(cast(Any, sql.query(name))).format(**identifiers)


async def _keep(connection: Connection, days: int | None, partition: str) -> None:
    """Write for how long records are kept, and in partitions of which width."""
    if days is None:
        days = int((await one(connection, "SELECT * FROM settings"))["retention_days"])
    width = partition if partition != "auto" else "hour" if days <= 8 else "day"
    partitions = days * (24 if width == "hour" else 1)
    if partitions > MOST_PARTITIONS:
        fits = days <= MOST_PARTITIONS
        way_out = (
            "GODOT_PARTITION=day" if fits else "GODOT_RETENTION_DAYS to fewer days"
        )
        raise SettingError(
            f"{days} days in partitions of one {width} make {partitions}, and planning"
            f" slows down beyond {MOST_PARTITIONS}: set {way_out}."
        )
    await connection.execute(
        "UPDATE settings SET retention_days = %s, partition_width = %s", [days, width]
    )


async def one(connection: Connection, statement: str) -> dict[str, Any]:
    """Run a statement of one row and return it by column name."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        row = await (await cursor.execute(cast(Any, statement))).fetchone()
    assert row is not None
    return row
