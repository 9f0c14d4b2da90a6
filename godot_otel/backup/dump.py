"""Copies the store into an archive, while it is being written to."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from psycopg import sql as compose

from godot_otel import __version__, sql, store
from godot_otel.backup.archive import Manifest, Table, finish, member, written

_TOGETHER_BYTES = 1024 * 1024


async def dump(dsn: str, path: Path, step: Callable[[str], None]) -> Manifest:
    """Write all that one snapshot of the store sees to *path*; *step* hears how far.

    Collectors and readers go on meanwhile; only the dropping of old partitions waits.

    Raises:
        SettingError: the file exists or cannot be written, or the schema is not this
            program's.
        psycopg.Error: the store went away; there is no file then.
    """
    async with await store.connect(dsn, application_name="godot-otel backup") as found:
        await store.check_schema(found)
        with written(path) as archive:
            manifest = await _snapshot(found, archive, step)
            finish(archive, manifest)
    return manifest


async def _snapshot(
    connection: store.Connection, archive: zipfile.ZipFile, step: Callable[[str], None]
) -> Manifest:
    roots = await _rows(connection, "backup_roots")
    async with connection.transaction():
        await connection.execute(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
        )
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SET LOCAL DateStyle = 'ISO'")  # of partition bounds
        # Before the snapshot, which the first query takes: what it shows, stays.
        names = compose.SQL(", ").join(compose.Identifier(name) for (name,) in roots)
        lock = compose.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names)
        await connection.execute(lock)
        manifest = Manifest(
            program=__version__,
            postgres=str(connection.info.server_version // 10_000),
            taken_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            migrations={
                str(number): checksum
                for number, checksum in (await store.applied(connection)).items()
            },
        )
        tables = [Table(*row) for row in await _rows(connection, "backup_tables")]
        for place, table in enumerate(tables, 1):
            part = f"table {place:,} of {len(tables):,}"
            rows = await _copy(connection, archive, table, part, step)
            manifest.tables.append(replace(table, rows=rows))
    return manifest


async def _copy(
    connection: store.Connection,
    archive: zipfile.ZipFile,
    table: Table,
    part: str,
    step: Callable[[str], None],
) -> int:
    """Copy one table; return how many rows it has, of packs how many lines."""
    columns = compose.SQL(", ").join(map(compose.Identifier, table.columns))
    statement = compose.SQL("COPY {} ({}) TO STDOUT (FORMAT BINARY)").format(
        compose.Identifier(table.name), columns
    )
    written_bytes, buffer = 0, bytearray()
    async with connection.cursor() as cursor:
        with member(archive, table) as file:
            async with cursor.copy(statement) as copy:
                async for row in copy:
                    buffer += row
                    if len(buffer) >= _TOGETHER_BYTES:
                        written_bytes += file.write(buffer)
                        buffer.clear()
                        step(f"{part}, {written_bytes / 1e6:,.0f} MB of {table.name}")
            file.write(buffer)
        step(part)
        rows = cursor.rowcount
    if table.parent != "log_packs":
        return rows
    lines = compose.SQL("SELECT coalesce(sum(lines), 0)::bigint FROM {}")
    found = await connection.execute(lines.format(compose.Identifier(table.name)))
    return int((await found.fetchone() or (0,))[0])


async def _rows(connection: store.Connection, name: str) -> list[tuple[Any, ...]]:
    statement = cast(Any, sql.query(name))
    cursor = await connection.execute(statement, {"ours": sql.tables()})
    return cast("list[tuple[Any, ...]]", await cursor.fetchall())
