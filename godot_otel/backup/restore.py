"""Fills an empty store from an archive: in one transaction, all of it or nothing."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg import sql as compose

from godot_otel import sql, store
from godot_otel.backup.archive import Manifest, Table, opened
from godot_otel.errors import GodotError, SchemaError, SettingError

_TOGETHER_BYTES = 1024 * 1024
_LOCK_TIMEOUT = "5s"
_BOUNDS = re.compile(r"FOR VALUES FROM \('([^']*)'\) TO \('([^']*)'\)")
_STOP = (
    "stop every collector first (`godot-otel down`), and restore into an empty store"
)


async def restore(dsn: str, path: Path, step: Callable[[str], None]) -> Manifest:
    """Fill the store with what *path* holds, then bring its schema up to date.

    The store may have no schema yet. The ledger is restored with the rest, so that
    batches which come again are no doubles; and seq goes on above what was restored.

    Raises:
        SettingError: the file is no backup, or the store is not empty or in use.
        GodotError: the file is damaged; nothing was changed.
        psycopg.Error: the store went away or refused; nothing was changed.
    """
    with opened(path) as (archive, manifest):
        newest = _check_migrations(path, manifest)
        await _make_schema(dsn, manifest, newest)
        name = "godot-otel restore"
        async with await store.connect(dsn, application_name=name) as connection:
            try:
                async with connection.transaction():
                    await _fill(connection, archive, manifest, step)
            except (zlib.error, EOFError) as error:
                raise zipfile.BadZipFile(str(error)) from None
            except psycopg.errors.LockNotAvailable:
                raise SettingError(f"the store is in use: {_STOP}") from None
    await store.migrate(dsn)
    return manifest


def _check_migrations(path: Path, manifest: Manifest) -> int:
    """Return the number of the newest migration that the archive's store had."""
    ours = {str(one.number): one.checksum for one in sql.migrations()}
    for number, checksum in manifest.migrations.items():
        if number not in ours:
            raise SchemaError(
                f"{path} is of a newer schema ({number}) than this program knows:"
                " upgrade godot-otel."
            )
        if ours[number] != checksum:
            raise SchemaError(
                f"{path} is of another migration {number} than this program's; they do"
                " not belong together."
            )
    return max(map(int, manifest.migrations))


async def _make_schema(dsn: str, manifest: Manifest, newest: int) -> None:
    """Make the archive's schema, where there is none; refuse another one."""
    async with await store.connect(dsn) as connection:
        known = await store.applied(connection)
        if known:
            await _refuse_rows(connection)
    if not known:
        await store.migrate(dsn, newest=newest)
    elif sorted(known) != sorted(map(int, manifest.migrations)):
        raise SchemaError(
            f"the backup is of schema {newest} and the store has {max(known)}: restore"
            " into a new database without a schema (`godot-otel down --wipe` takes"
            " away that of `up`)."
        )


async def _refuse_rows(connection: store.Connection) -> None:
    for table in ("batches", "logs", "log_packs", "dead_letters"):
        known = await connection.execute("SELECT to_regclass(%s)", [table])
        if await known.fetchone() == (None,):  # the schema of before has no packs
            continue
        statement = compose.SQL("SELECT EXISTS (SELECT FROM {}) AS found")
        named = statement.format(compose.Identifier(table))
        if (await (await connection.execute(named)).fetchone() or (False,))[0]:
            raise SettingError(f"the store is not empty ({table}): nothing was changed")


async def _fill(
    connection: store.Connection,
    archive: zipfile.ZipFile,
    manifest: Manifest,
    step: Callable[[str], None],
) -> None:
    await connection.execute("SET LOCAL statement_timeout = 0")
    await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [store.MIGRATION_LOCK])
    roots = [name for (name,) in await _rows(connection, "backup_roots")]
    # From here on nobody writes; who wrote until now is seen by the next query.
    await _on(connection, "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", roots)
    await _refuse_rows(connection)
    await _refuse_collectors(connection)
    old = [Table(*row) for row in await _rows(connection, "backup_tables")]
    await _on(connection, "DROP TABLE {}", [one.name for one in old if one.parent])
    plain = {one.name for one in old if not one.parent}
    await _on(connection, "TRUNCATE {}", sorted(plain))
    known = [one for one in manifest.tables if one.parent or one.name in plain]
    for place, table in enumerate(known, 1):
        if table.parent:
            await _attach(connection, table)
        await _copy(connection, archive, table)
        step(f"table {place:,} of {len(known):,}")
    await store.raise_xid_base(connection)


async def _refuse_collectors(connection: store.Connection) -> None:
    """A collector remembers what dictionaries hold; it must begin anew."""
    cursor = await connection.execute(
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'godot-otel collector'"
    )
    if cursor.rowcount:
        raise SettingError(f"a collector is connected: {_STOP}")


async def _on(
    connection: store.Connection, statement: str, names: Iterable[str]
) -> None:
    """Run one statement on some tables at once."""
    tables = [compose.Identifier(name) for name in names]
    if tables:
        joined = compose.SQL(", ").join(tables)
        await connection.execute(compose.SQL(cast(Any, statement)).format(joined))


async def _attach(connection: store.Connection, table: Table) -> None:
    """Make a partition; its bounds come from a file, so nothing of them runs as SQL."""
    bounds = _BOUNDS.fullmatch(table.bounds or "")
    if bounds is None:
        raise GodotError(f"the backup's table {table.name} has bounds that are none")
    statement = "CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})"
    await connection.execute(
        compose.SQL(statement).format(
            compose.Identifier(table.name),
            compose.Identifier(str(table.parent)),
            compose.Literal(bounds[1]),
            compose.Literal(bounds[2]),
        )
    )


async def _copy(
    connection: store.Connection, archive: zipfile.ZipFile, table: Table
) -> None:
    columns = compose.SQL(", ").join(map(compose.Identifier, table.columns))
    statement = compose.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        compose.Identifier(table.name), columns
    )
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        with archive.open(table.member) as file:
            while piece := file.read(_TOGETHER_BYTES):
                await copy.write(piece)


async def _rows(connection: store.Connection, name: str) -> list[tuple[Any, ...]]:
    statement = cast(Any, sql.query(name))
    cursor = await connection.execute(statement, {"ours": sql.tables()})
    return cast("list[tuple[Any, ...]]", await cursor.fetchall())
