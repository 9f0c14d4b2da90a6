"""Migrations, roles and what keeps seq growing."""

import asyncio
from datetime import timedelta

import psycopg
import pytest

from godot_otel import sql, store
from godot_otel.errors import SchemaError, SettingError, StoreUnreachableError
from godot_otel_collector.partitions import Partitions


@pytest.fixture
def empty_dsn(postgres):
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty")
        yield postgres.dsn("empty")
        connection.execute("DROP DATABASE empty WITH (FORCE)")


def run(dsn: str, statement: str, *values: object) -> list[tuple]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


async def test_a_dry_run_names_migrations_and_changes_nothing(empty_dsn):
    names = [migration.name for migration in sql.migrations()]
    assert await store.migrate(empty_dsn, dry_run=True) == names
    assert run(empty_dsn, "SELECT count(*) FROM pg_class WHERE relname = 'logs'") == [
        (0,)
    ]


async def test_four_at_once_apply_each_migration_once(empty_dsn):
    applied = await asyncio.gather(*(store.migrate(empty_dsn) for _ in range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, len(sql.migrations())]


async def test_an_edited_migration_is_refused(store_dsn):
    run(store_dsn, "UPDATE schema_migrations SET checksum = 'another' WHERE number = 1")
    with pytest.raises(SchemaError, match="0001_store was applied"):
        await store.migrate(store_dsn)


async def test_a_newer_schema_is_used_as_long_as_it_allows(store_dsn):
    run(store_dsn, "INSERT INTO schema_migrations VALUES (9999, '9999_later', 'x')")
    async with await store.connect(store_dsn) as connection:
        await store.check_schema(connection)
    assert await store.migrate(store_dsn) == []
    run(store_dsn, "UPDATE settings SET oldest_reader = 9999")
    async with await store.connect(store_dsn) as connection:
        with pytest.raises(SchemaError, match=r"\(9999\) is newer than this program"):
            await store.check_schema(connection)
    with pytest.raises(SchemaError):
        await store.migrate(store_dsn)


async def test_an_empty_database_says_what_to_run(empty_dsn):
    async with await store.connect(empty_dsn) as connection:
        with pytest.raises(SchemaError, match="godot-otel migrate"):
            await store.check_schema(connection)


async def test_too_many_partitions_are_refused_with_the_way_out(store_dsn):
    with pytest.raises(SettingError, match=r"720.*GODOT_PARTITION=day"):
        await store.migrate(store_dsn, retention_days=30, partition="hour")
    await store.migrate(store_dsn, retention_days=30, partition="auto")
    assert run(store_dsn, "SELECT retention_days, partition_width FROM settings") == [
        (30, "day")
    ]
    with pytest.raises(SettingError, match=r"401.*GODOT_RETENTION_DAYS to fewer"):
        await store.migrate(store_dsn, retention_days=401, partition="auto")


async def test_what_is_kept_stays_as_it_was_chosen_until_it_is_chosen_anew(store_dsn):
    kept = "SELECT retention_days, partition_width, retention_bytes FROM settings"
    await store.migrate(store_dsn, default_bytes=10)
    assert run(store_dsn, kept) == [(7, "hour", 10)]
    await store.migrate(store_dsn, retention_days=30, retention_bytes=0)
    await store.migrate(store_dsn, default_bytes=10)
    assert run(store_dsn, kept) == [(30, "day", 0)]
    await store.migrate(store_dsn, retention_days=2)
    assert run(store_dsn, kept) == [(2, "hour", 0)]
    await store.migrate(store_dsn, partition="day")
    assert run(store_dsn, kept) == [(2, "day", 0)]


async def test_another_width_holds_after_the_last_partition_that_exists(store_dsn):
    partitions = Partitions(store_dsn)
    await partitions.create_ahead()
    bounds = "SELECT lower, upper FROM partitions WHERE parent = 'logs' ORDER BY 1"
    hourly = run(store_dsn, bounds)
    await store.migrate(store_dsn, retention_days=30)
    await partitions.create_ahead()
    after = hourly[-1][1]  # a line of the time between the last hour and the next day
    await partitions.ensure([int(after.timestamp()) * 1_000_000], [])
    daily = run(store_dsn, bounds)
    assert daily[: len(hourly)] == hourly
    edges = [upper for _, upper in daily[:-1]]
    assert edges == [lower for lower, _ in daily[1:]], "no gap, no overlap"
    assert daily[-1][1] - daily[-1][0] == timedelta(days=1)


async def test_an_error_to_connect_names_the_place_and_no_password():
    dsn = "postgresql://someone:hunter2@127.0.0.1:1/godot"
    with pytest.raises(StoreUnreachableError) as caught:
        await store.connect(dsn)
    assert "127.0.0.1/godot" in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_roles_can_do_their_part_and_no_more(store_dsn):
    text = await store.roles_text(store_dsn)
    name = run(store_dsn, "SELECT current_database()")[0][0]
    roles = store.role_names(name)
    with psycopg.connect(store_dsn, autocommit=True) as connection:
        try:
            connection.execute(text)
            await store.migrate(store_dsn)
            connection.execute(f"SET ROLE {roles['reader']}")
            connection.execute("SELECT * FROM log_lines")
            for forbidden in (
                "INSERT INTO templates (id, logger, template) VALUES (1, '', '')",
                "DELETE FROM logs",
                "UPDATE settings SET retention_days = 1",
                "CREATE TABLE mine ()",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(forbidden)
            connection.execute(f"SET ROLE {roles['writer']}")
            for forbidden in (
                "DELETE FROM logs",
                "SELECT * FROM logs",
                "DROP TABLE logs",
                "UPDATE settings SET retention_days = 1",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(forbidden)
        finally:
            connection.execute("RESET ROLE")
            for role in roles.values():
                connection.execute(f"DROP OWNED BY {role}")
                connection.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize("filters", ["word_filters", "span_filters"])
async def test_seq_keeps_growing_after_a_restore(store_dsn, filters):
    far = 10**9
    run(
        store_dsn,
        f"CREATE TABLE filters_all PARTITION OF {filters}"
        " FOR VALUES FROM (MINVALUE) TO (MAXVALUE)",
    )
    run(
        store_dsn,
        f"INSERT INTO {filters} VALUES (now(), now(), %s, %s, 8, 1, '')",
        far << 20, (far << 20) + 5,
    )  # fmt: skip # first and last seq
    await store.migrate(store_dsn)
    ((next_xid,),) = run(
        store_dsn,
        "SELECT xid_base + pg_current_xact_id()::text::bigint FROM settings",
    )
    assert next_xid > far
    base = run(store_dsn, "SELECT xid_base FROM settings")
    await store.migrate(store_dsn)
    assert run(store_dsn, "SELECT xid_base FROM settings") == base
