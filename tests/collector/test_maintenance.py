"""One collector maintains the store, and takes up what another left half done."""

import asyncio
import random
import time
from datetime import timedelta

import psycopg
import pytest
from fix_partitions import (
    collecting,
    filled,
    maintained,
    oldest,
    pending,
    reading,
    run,
    tables,
    until,
)
from fix_processes import CollectorProcess, count, wait_until

from godot_otel_collector import maintenance
from godot_otel_collector.forgetting import Forgetting
from godot_otel_collector.retention import Retention


async def test_what_no_line_names_any_more_is_forgotten(store_dsn, owner):
    for table in ("resources", "scopes", "templates"):
        columns = {
            "resources": "id, service, environment, version, attributes, schema_url,"
            " dropped_attributes, last_seen",
            "scopes": "id, name, version, attributes, schema_url, dropped_attributes,"
            " last_seen",
            "templates": "id, logger, template, last_seen",
        }[table]
        texts = columns.count(",") - 1
        values = {8: "'', '', '', '{}', '', 0", 7: "'', '', '{}', '', 0", 4: "'', ''"}
        run(
            store_dsn,
            f"INSERT INTO {table} ({columns}) SELECT n, {values[texts + 2]},"
            " CURRENT_DATE - n FROM generate_series(0, 1500) AS n",
        )
    run(
        store_dsn,
        "INSERT INTO emitters (instance, service, counters, last_seen)"
        " SELECT gen_random_uuid(), '', '{}', now() - make_interval(days => n)"
        " FROM generate_series(0, 9) AS n",
    )
    await Forgetting().run(owner)
    for table in ("resources", "scopes", "templates"):
        assert run(store_dsn, f"SELECT max(id) FROM {table}") == [(14,)], table
    assert count(store_dsn, "emitters") == 7


async def test_it_ends_at_whatever_moment_it_is_told_to(store_dsn, source):
    for _ in range(150):
        async with asyncio.timeout(10), maintained(store_dsn, source):
            await asyncio.sleep(random.uniform(0, 0.05))


async def test_an_entry_that_a_writer_holds_is_not_waited_for(store_dsn, owner):
    statement = (
        "INSERT INTO templates (id, logger, template, last_seen)"
        " VALUES (1, '', '', '2020-01-01'), (2, '', '', '2020-01-01')"
    )
    run(store_dsn, statement)
    with psycopg.connect(store_dsn) as writer:
        writer.execute("UPDATE templates SET last_seen = CURRENT_DATE WHERE id = 1")
        await asyncio.wait_for(Forgetting().run(owner), 5)
    assert run(store_dsn, "SELECT id FROM templates") == [(1,)]


async def test_a_detach_killed_half_way_is_finished_at_the_next_start(
    store_dsn, source
):
    filled(store_dsn, timedelta(days=9), timedelta(days=8), timedelta(0))
    with reading(store_dsn):
        async with maintained(store_dsn, source):
            await until(lambda: pending(store_dsn))
            killed = run(
                store_dsn,
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'godot-otel maintenance'"
                " AND datname = current_database()",
            )
            assert killed == [(True,)]
        assert pending(store_dsn)
        assert len(tables(store_dsn)) == 15
    assert pending(store_dsn), "it does not finish by itself"
    async with maintained(store_dsn, source):
        await until(lambda: len(tables(store_dsn)) == 5)
    assert count(store_dsn) == 1
    left = run(store_dsn, "SELECT count(*) FROM partitions")
    assert left == [(5,)]


@pytest.mark.parametrize(
    "half", ["SELECT", "ALTER TABLE logs DETACH PARTITION {}", "DROP TABLE {}"]
)
async def test_what_was_given_up_and_not_dropped_is_dropped_at_the_next_start(
    store_dsn, owner, source, half
):
    filled(store_dsn, timedelta(days=3), timedelta(0))
    run(store_dsn, "UPDATE partitions SET dropped_at = now() WHERE upper < now()")
    run(store_dsn, half.format(oldest(store_dsn)))
    await Retention(source).run(owner)
    assert len(tables(store_dsn)) == count(store_dsn, "partitions") == 5
    assert count(store_dsn) == 1


async def test_a_collector_stops_at_once_while_a_drop_waits_for_a_query(
    redis_url, store_dsn
):
    filled(store_dsn, timedelta(days=9), timedelta(0))
    with reading(store_dsn):
        async with collecting(redis_url, store_dsn):
            await until(lambda: pending(store_dsn))
            start = time.monotonic()
        assert time.monotonic() - start < 3
        assert pending(store_dsn)


def leader(dsn: str) -> list[int]:
    rows = run(
        dsn,
        "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        " WHERE locktype = 'advisory' AND granted AND objid = %s"
        " AND datname = current_database()",
        maintenance._LOCK,
    )
    return [pid for (pid,) in rows]


def test_of_two_collectors_one_maintains_until_it_is_killed(
    redis_url, store_dsn, tmp_path
):
    first = CollectorProcess(tmp_path, redis_url, store_dsn)
    wait_until(lambda: len(leader(store_dsn)) == 1, "one that maintains")
    second = CollectorProcess(tmp_path, redis_url, store_dsn)
    try:
        before = leader(store_dsn)
        filled(store_dsn, timedelta(days=9))
        time.sleep(3)  # the second one has asked by now
        assert leader(store_dsn) == before
        assert count(store_dsn) == 1, "no round is due, and only the first has rounds"
        first.kill()
        wait_until(lambda: count(store_dsn) == 0, "the second to take over", 15)
        assert len(leader(store_dsn)) == 1
        assert leader(store_dsn) != before
    finally:
        first.kill()
        assert second.stop() == 0
