"""What rows name is in the store with them, whatever went wrong before."""

import asyncio
import contextlib
import time
from datetime import date

import pytest
from fix_otlp import entry
from fix_otlp_spans import entry as traced
from fix_otlp_spans import raised, span
from fix_partitions import run

from godot_otel import queue
from godot_otel_collector.group import Group
from godot_otel_collector.partitions import Partitions
from godot_otel_collector.preparation import Preparation
from godot_otel_collector.writer import Writer

TABLES = "resources", "scopes", "templates"
MILLISECONDS = time.time_ns() // 1_000_000
UNNAMED = (
    "SELECT count(*) FROM logs WHERE"
    " NOT EXISTS (SELECT FROM resources WHERE id = resource_id)"
    " OR NOT EXISTS (SELECT FROM scopes WHERE id = scope_id)"
    " OR NOT EXISTS (SELECT FROM templates WHERE id = template_id)"
)
REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'not now' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON {} EXECUTE FUNCTION refuse();
"""


def count(dsn: str, which: str = "true") -> list[int]:
    return [
        run(dsn, f"SELECT count(*) FROM {table} WHERE {which}")[0][0]
        for table in TABLES
    ]


@contextlib.asynccontextmanager
async def writing(dsn: str):
    """A writer, and what makes groups of entries for it."""
    partitions = Partitions(dsn)
    await partitions.create_ahead()
    preparation = Preparation(retention_days=7)

    def group(*entries: queue.Entry) -> Group:
        delivered = []
        for number, one in enumerate(entries):
            fields = one.fields()
            pairs = dict(zip(fields[::2], fields[1::2], strict=True))
            delivered.append((b"%d-%d" % (MILLISECONDS, number), pairs))
        made = preparation.of(delivered, partitions.logs).group
        assert made is not None
        return made

    writer = Writer(dsn, partitions=partitions, stopping=asyncio.Event())
    try:
        yield writer, group
    finally:
        await writer.close()


@pytest.mark.parametrize("table", ["scopes", "templates", "logs"])
async def test_what_a_failed_transaction_named_is_written_by_the_next(store_dsn, table):
    async with writing(store_dsn) as (writer, group):
        given = group(
            entry(["cart 1 was paid", "cart of Zoe"]),
            traced([raised(span(), "E", "no")]),
        )
        run(store_dsn, REFUSE.format(table))
        task = asyncio.create_task(writer.write(given))
        await asyncio.sleep(0.3)  # it tries again and again
        assert not task.done()
        run(store_dsn, f"DROP TRIGGER refuse ON {table}")
        await task
    assert run(store_dsn, UNNAMED) == [(0,)]
    assert count(store_dsn) == [1, 2, 3]


async def test_what_is_known_is_written_once_a_day(store_dsn):
    moved = "last_seen = CURRENT_DATE"
    async with writing(store_dsn) as (writer, group):
        await writer.write(group(entry(["cart 1 was paid"])))
        for table in TABLES:
            run(store_dsn, f"UPDATE {table} SET last_seen = '2020-01-01'")
        await writer.write(group(entry(["cart 2 was paid", "another"])))
        assert count(store_dsn, moved) == [0, 0, 1]
        writer._known = dict.fromkeys(writer._known, date.min)  # a new day
        await writer.write(group(entry(["cart 3 was paid"])))
    assert count(store_dsn, moved) == [1, 1, 2]
    assert run(store_dsn, UNNAMED) == [(0,)]
