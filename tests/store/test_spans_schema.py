"""The schema of spans, on a store that the release before has filled."""

from datetime import UTC, datetime

import psycopg
import pytest
from fix_lines import Lines, Row

from godot_otel import sql, store
from godot_otel_collector.catalog import TIMED
from godot_otel_collector.partitions import Partitions

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = (
    "INSERT INTO spans (time, time_nanos, seq, duration_ns, resource_id, scope_id,"
    " home, trace_id, span_id, flags, kind, status, environment, service, name)"
    " VALUES (now(), 7, 1, 1500000, 0, 0, 0, %s, %s, 1, 2, 2, 'prod', 'shop',"
    " 'GET /')"
)


@pytest.fixture
def before_dsn(postgres):
    """A store of the release before, with a line in it."""
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE before")
        yield postgres.dsn("before")
        connection.execute("DROP DATABASE before WITH (FORCE)")


async def test_a_store_with_lines_gets_spans_beside_them(before_dsn):
    await store.migrate(before_dsn, newest=4)
    Lines(before_dsn).add(Row("a line", trace_id=TRACE))
    assert "0005_spans" in await store.migrate(before_dsn)
    partitions = Partitions(before_dsn)
    await partitions.create_ahead()
    with psycopg.connect(before_dsn, autocommit=True) as connection:
        counted = "SELECT lines, spans, span_errors FROM trace_index"
        assert connection.execute(counted).fetchall() == [(1, 0, 0)]
        bounds = connection.execute(
            "SELECT count(DISTINCT parent), count(*) FROM partitions"
            " WHERE parent = ANY(%s) GROUP BY lower, upper",
            [list(TIMED)],
        ).fetchall()
        assert set(bounds) == {(len(TIMED), len(TIMED))}, "all share their bounds"
        connection.execute(SPAN, [TRACE, bytes.fromhex("00f067aa0ba902b7")])
        shown = connection.execute(
            "SELECT name, kind, status, duration_ms, trace_id, span_id, parent_id"
            " FROM span_lines"
        ).fetchall()
    assert shown == [("GET /", "SERVER", "ERROR", 1.5, TRACE, "00f067aa0ba902b7", None)]


async def test_late_spans_get_the_bounds_of_lines_that_were_there_before(before_dsn):
    await store.migrate(before_dsn, newest=4, retention_days=30)
    partitions = Partitions(before_dsn)
    moment = int(datetime(2026, 3, 5, 17, 30, tzinfo=UTC).timestamp()) * 1_000_000
    with psycopg.connect(before_dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE logs_20260305 PARTITION OF logs"
            " FOR VALUES FROM ('2026-03-05 00:00Z') TO ('2026-03-06 00:00Z')"
        )
        connection.execute(
            "INSERT INTO partitions (name, parent, lower, upper) VALUES"
            " ('logs_20260305', 'logs', '2026-03-05 00:00Z', '2026-03-06 00:00Z')"
        )
        await store.migrate(before_dsn, retention_days=7)  # by the hour from now on
        await partitions.ensure([moment], [])
        made = connection.execute(
            "SELECT name FROM partitions WHERE parent = 'spans'"
        ).fetchall()
    assert made == [("spans_20260305",)]


async def test_the_writer_may_add_spans_and_nothing_else(store_dsn):
    text = await store.roles_text(store_dsn)
    with psycopg.connect(store_dsn, autocommit=True) as connection:
        await Partitions(store_dsn).create_ahead()
        database = connection.info.dbname
        roles = store.role_names(database)
        try:
            connection.execute(text)
            await store.migrate(store_dsn)
            connection.execute(f"SET ROLE {roles['writer']}")
            connection.execute(SPAN, [TRACE, b"12345678"])
            for table in ("spans", "span_filters", "operation_counts"):
                allowed = connection.execute(
                    "SELECT has_table_privilege(%(table)s, 'INSERT'),"
                    " has_table_privilege(%(table)s, 'SELECT, UPDATE, DELETE')",
                    {"table": table},
                ).fetchone()
                assert allowed == (True, False), table
            connection.execute(f"SET ROLE {roles['reader']}")
            assert connection.execute("SELECT name FROM span_lines").fetchall()
        finally:
            connection.execute("RESET ROLE")
            for role in roles.values():
                connection.execute(f"DROP OWNED BY {role}")
                connection.execute(f"DROP ROLE {role}")


def test_a_backup_knows_the_new_tables():
    assert {"spans", "span_filters", "operation_counts"} <= set(sql.tables())
