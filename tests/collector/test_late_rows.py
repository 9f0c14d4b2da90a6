"""Rows whose partition is gone, or about to go, are stored."""

from datetime import timedelta

import pytest
from fix_partitions import (
    ago,
    bodies,
    collecting,
    filled,
    late,
    lowers,
    oldest,
    pending,
    reading,
    run,
    until,
)
from fix_processes import count

from godot_otel import query, store
from godot_otel_collector.dropping import InUseError
from godot_otel_collector.retention import Retention


async def test_late_rows_of_a_range_that_was_dropped_are_stored(
    redis_url, store_dsn, source, owner, producer
):
    async with collecting(redis_url, store_dsn):
        producer.admit(late("first", hours=40))
        producer.admit(late("now", hours=0))
        await until(lambda: count(store_dsn) == 4)
        # The collector does not know that what it stored into is gone.
        await store.migrate(store_dsn, retention_bytes=1)
        await Retention(source).run(owner)
        await until(lambda: "first" not in bodies(store_dsn))
        await store.migrate(store_dsn, retention_bytes=0)
        producer.admit(late("second", hours=40))
        await until(lambda: "second" in bodies(store_dsn))
    ages = run(
        store_dsn, "SELECT now() - time > '39 hours' FROM logs WHERE body = 'second'"
    )
    assert ages == [(True,)]
    found = "SELECT sum(n) FROM log_counts WHERE minute < now() - interval '39 hours'"
    assert run(store_dsn, found) == [(2,)]
    async with query.Reader(store_dsn, redis_url) as reader:
        page = await query.logs(reader, query.parse(search="second", since="48h"))
    assert [line.body for line in page.lines] == ["second"]


async def test_late_rows_do_not_wait_for_the_query_that_a_drop_waits_for(
    redis_url, store_dsn, source, owner, producer
):
    filled(store_dsn, timedelta(hours=41), timedelta(0))
    async with collecting(redis_url, store_dsn):
        await until(lambda: len(lowers(store_dsn, "batches")) > 0)
        with reading(store_dsn):
            await store.migrate(store_dsn, retention_bytes=1)
            with pytest.raises(InUseError, match="when a query"):
                await Retention(source).run(owner)
            producer.admit(late("late", hours=41))
            await until(lambda: "late" in bodies(store_dsn), 8)
            assert pending(store_dsn)
    original = run(
        store_dsn,
        "SELECT time > now() - interval '1 hour',"
        " to_timestamp((attributes->>'log.original_time')::numeric / 1e9)"
        " < now() - interval '40 hours' FROM logs WHERE body = 'late'",
    )
    assert original == [(True, True)]


@pytest.mark.parametrize(
    ("parent", "done"),
    [
        ("logs", "DROP TABLE {}"),
        ("logs", "ALTER TABLE logs DETACH PARTITION {}"),
        ("log_counts", "DROP TABLE {}"),
    ],
)
async def test_what_people_drop_or_detach_does_not_stop_ingest(
    redis_url, store_dsn, producer, parent, done
):
    async with collecting(redis_url, store_dsn):
        producer.admit(late("first", hours=40))
        await until(lambda: count(store_dsn) == 2)
        name = oldest(store_dsn, parent)
        run(store_dsn, done.format(name))
        producer.admit(late("second", hours=40))
        await until(lambda: "second" in bodies(store_dsn))
    assert lowers(store_dsn, parent)[0] < ago(hours=39)
    if "DETACH" in done:
        assert count(store_dsn, name) == 2, "what they detached they keep"


async def test_a_refused_record_costs_itself_alone_where_its_partition_was_dropped(
    redis_url, store_dsn, producer
):
    run(store_dsn, "ALTER TABLE logs ADD CONSTRAINT sound CHECK (body <> 'poison')")
    async with collecting(redis_url, store_dsn):
        producer.admit(late("first", hours=40))
        await until(lambda: count(store_dsn) == 1)
        run(store_dsn, f"DROP TABLE {oldest(store_dsn)}")
        producer.admit(late("second", hours=40))
        await until(lambda: bodies(store_dsn) == ["second"])
    assert count(store_dsn, "dead_letters") == 2
