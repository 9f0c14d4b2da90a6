"""The store: reachable, new enough, its schema, what each role may do, its limits."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import psycopg
from psycopg.rows import dict_row

from godot_otel import settings, sql, state, store
from godot_otel.doctor.check import Check, clock, ok, problem, warning
from godot_otel.errors import GodotError, SchemaError, SettingError

ABOUT = "store"
OLDEST = 150_000
_CONNECTIONS = 10  # a collector uses up to 4 at once, the MCP server 4
_LOCKS_A_PARTITION = 6  # a table and its indexes
_VARIABLES = {
    "owner": "GODOT_POSTGRES_DSN",
    "writer": "GODOT_POSTGRES_WRITER_DSN",
    "reader": "GODOT_POSTGRES_READER_DSN",
}
_ROLES = "make the roles: `godot-otel migrate --print-roles`, then `migrate`, then set "


def checks() -> Iterator[Check]:
    """Check each address of the store that a variable or a running stack names."""
    running = state.read(settings.data_dir()) or {}
    dsns = settings.postgres_dsns() or {
        role: str(running[key])
        for role, key in (
            ("owner", "postgres_dsn"),
            ("writer", "postgres_writer_dsn"),
            ("reader", "postgres_reader_dsn"),
        )
        if running.get(key)
    }
    reader = settings.value("postgres_reader_dsn")
    if not dsns and reader:  # a machine of readers knows no other
        dsns = {"reader": reader}
    if not dsns:
        yield ok(ABOUT, "none is named here, as on a machine of applications alone")
        return
    yield from asyncio.run(_all(dsns))


async def _all(dsns: dict[str, str]) -> list[Check]:
    found: list[Check] = []
    general = True
    for role, dsn in dsns.items():
        if role != "owner" and dsn == dsns.get("owner"):
            found.append(_as_owner(role))
            continue
        about = f"{role} at {store.place(dsn)}"
        try:
            async with await store.connect(
                dsn, application_name="godot-otel doctor"
            ) as c:
                found.append(ok(ABOUT, f"the {about} is let in"))
                await c.execute("SET statement_timeout = '5s'")
                if general:
                    found += [check async for check in _server(c)]
                    general = False
                found += [check async for check in _role(role, c)]
        except psycopg.Error as error:
            found.append(
                problem(
                    ABOUT,
                    f"the {about} was refused a question ({error.sqlstate})",
                    "run `godot-otel migrate` as the owner: it grants what is needed",
                )
            )
        except SettingError as error:
            found.append(problem(ABOUT, str(error), f"correct {_VARIABLES[role]}"))
        except GodotError as error:
            do = f"start that server, or correct {_VARIABLES[role]}"
            found.append(problem(ABOUT, f"as {role}: {error}", do))
    return found


def _as_owner(role: str) -> Check:
    what = "collectors write" if role == "writer" else "readers read"
    return warning(ABOUT, f"{what} as the owner, who may change all of it",
                   _ROLES + _VARIABLES[role])  # fmt: skip # one sentence


async def _server(connection: store.Connection) -> AsyncIterator[Check]:
    """Check what is the same for every role."""
    number = connection.info.server_version
    version = f"PostgreSQL {number // 10_000}"
    if number >= OLDEST:
        yield ok(ABOUT, version)
    else:
        yield problem(ABOUT, f"{version} is older than 15", "upgrade it to 15 or newer")
    yield await _clock(connection)
    try:
        await store.check_schema(connection)
    except SchemaError as error:
        yield problem(ABOUT, str(error), "run `godot-otel migrate` as the owner")
        return
    yield ok(ABOUT, f"schema {sql.migrations()[-1].name}")
    async for check in _kept(connection):
        yield check
    async for check in _partitions(connection):
        yield check
    async for check in _limits(connection):
        yield check


async def _clock(connection: store.Connection) -> Check:
    before = time.time()
    row = await store.one(
        connection, "SELECT extract(epoch FROM clock_timestamp())::float8 AS now"
    )
    return clock(ABOUT, "the store", row["now"] - (before + time.time()) / 2)


async def _kept(connection: store.Connection) -> AsyncIterator[Check]:
    """Check that the store was told what is set here: collectors go by the store."""
    told = await store.one(connection, "SELECT * FROM settings")
    for name in ("retention_days", "retention_bytes"):
        with contextlib.suppress(SettingError):  # said by those of the variables
            wanted = settings.value(name)
            if wanted is not None and wanted != told[name]:
                yield warning(
                    ABOUT,
                    f"GODOT_{name.upper()} is {wanted:,} here, and the store was told"
                    f" {_number(told[name])}",
                    "tell it: `godot-otel migrate` with that variable, as `up` does",
                )


def _number(value: int | None) -> str:
    return "nothing" if value is None else f"{value:,}"


async def _partitions(connection: store.Connection) -> AsyncIterator[Check]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(cast(Any, sql.query("coverage")))
        tables = {row["parent"]: row for row in await cursor.fetchall()}
    start = "start `godot-otel collect`: it makes them ahead"
    if not tables:
        yield warning(ABOUT, "there are no partitions yet", start)
        return
    late = sorted(name for name, row in tables.items() if not row["takes_now"])
    soon = sorted(name for name, row in tables.items() if not row["takes_later"])
    if late or soon:
        names = ", ".join(late or soon)
        yield warning(
            ABOUT, f"no partition for {'now' if late else 'what comes next'}: {names}",
            start,
        )  # fmt: skip # what, and what to do
    else:
        yield ok(ABOUT, "partitions for now and ahead are there")
    logs = tables.get("logs", {"partitions": 0})["partitions"]
    if logs > store.MOST_PARTITIONS:
        yield warning(
            ABOUT, f"logs has {logs} partitions, more than {store.MOST_PARTITIONS}",
            "set GODOT_PARTITION=day and run `godot-otel migrate`",
        )  # fmt: skip


async def _limits(connection: store.Connection) -> AsyncIterator[Check]:
    row = await store.one(connection, sql.query("limits"))
    left = row["connections"] - row["used"]
    if left < _CONNECTIONS:
        yield warning(
            ABOUT, f"{left} of {row['connections']} connections are left",
            "raise max_connections, or end what holds them",
        )  # fmt: skip # what, and what to do
    else:
        yield ok(ABOUT, f"{left} of {row['connections']} connections are left")
    needed = row["partitions"] * _LOCKS_A_PARTITION
    if row["locks"] < needed:
        yield warning(
            ABOUT,
            f"room for {row['locks']:,} locks; a statement on all partitions takes"
            f" {needed:,}",
            "raise max_locks_per_transaction (1024 is what `up` takes)",
        )


async def _role(role: str, connection: store.Connection) -> AsyncIterator[Check]:
    """Check that a role may do its part, and no more."""
    there = await store.one(connection, "SELECT to_regclass('logs') AS name")
    if there["name"] is None:
        return
    may = await store.one(connection, sql.query("privileges"))
    who = f"the {role} {may['name']}"
    if role == "owner":
        if not may["own"]:
            yield problem(ABOUT, f"{who} does not own the tables",
                          "set GODOT_POSTGRES_DSN to who ran `migrate`")  # fmt: skip
        return
    needed, spare = ("add", "read") if role == "writer" else ("read", "add")
    grant = "run `godot-otel migrate` as the owner: it grants what is needed"
    if not may[needed]:
        yield problem(ABOUT, f"{who} may not {needed} log lines", grant)
    elif may["own"] or may["change"] or may[spare]:
        yield warning(ABOUT, f"{who} may do more than {needed} log lines",
                      _ROLES + _VARIABLES[role])  # fmt: skip # one sentence
    elif role == "reader" and may["read_only"] != "on":
        yield warning(
            ABOUT, f"{who} is not read-only by default",
            "as `godot-otel migrate --print-roles` has it: ALTER ROLE ... SET"
            " default_transaction_read_only = on",
        )  # fmt: skip # what, and what to do
    else:
        yield ok(ABOUT, f"{who} may {needed} log lines and no more")
