"""A batch in the queue becomes rows in the store, once."""

import asyncio
import dataclasses
import json
import os
import time
from collections.abc import Callable

import psycopg
from fix_otlp import entry
from fix_partitions import collecting

from godot_otel import queue

TRACE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)


def rows(dsn: str, statement: str, *values: object) -> list[tuple]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(statement, values).fetchall()


def count(dsn: str, table: str = "logs") -> int:
    return rows(dsn, f"SELECT count(*) FROM {table}")[0][0]


async def waiting(redis_url: str) -> int:
    source = queue.Queue(redis_url)
    try:
        return (await source.depth()).batches
    finally:
        await source.close()


async def test_a_batch_becomes_rows_with_all_that_finds_them(
    producer, redis_url, store_dsn
):
    bodies = [f"user {n} paid {n * 7} euros" for n in range(2000)]
    producer.admit(entry(bodies, trace_id=TRACE, attributes={"plan": "pro", "n": 7}))
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn) == 2000)
    found = rows(
        store_dsn,
        "SELECT service, environment, version, level, logger, trace_id, body,"
        " attributes, template FROM log_lines ORDER BY seq LIMIT 1",
    )
    assert found == [
        ("shop", "test", "1.4.2", "INFO", "shop.cart", TRACE.hex(),
         "user 0 paid 0 euros", {"plan": "pro", "n": 7}, "user <*> paid <*> euros"),
    ]  # fmt: skip # one row
    assert rows(store_dsn, "SELECT lines, errors, service FROM trace_index") == [
        (2000, 0, "shop")
    ]
    assert rows(store_dsn, "SELECT sum(n)::int, min(severity) FROM log_counts") == [
        (2000, 9)
    ]
    filters = "SELECT seq_last - seq_first + 1 FROM word_filters ORDER BY seq_first"
    assert rows(store_dsn, filters) == [(1024,), (976,)]
    assert rows(store_dsn, "SELECT records, dead_letters FROM batches") == [(2000, 0)]


async def test_a_batch_delivered_twice_is_stored_once(producer, redis_url, store_dsn):
    twice = entry(["once and only once"])
    producer.admit(twice)
    producer.admit(twice)
    async with collecting(redis_url, store_dsn) as collector:
        await until(lambda: count(store_dsn) == 1)
        producer.admit(twice)
        producer.admit(entry(["another"]))
        await until(lambda: count(store_dsn) == 2)
    assert collector._writer.conflicts == 2
    assert await waiting(redis_url) == 0


async def test_garbage_becomes_a_dead_letter_and_the_next_batch_flows(
    producer, redis_url, store_dsn
):
    garbage = queue.Entry(queue.batch_id(), b"logs", 3, os.urandom(500))
    no_gzip = queue.Entry(queue.batch_id(), b"logs", 3, b"no gzip", encoding=b"gzip")
    producer.admit(garbage)
    producer.admit(no_gzip)
    producer._redis.xadd(queue.stream_key(), {"what": "is this"})
    producer.admit(entry(["fine"]))
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn) == 1)
        await until(lambda: count(store_dsn, "dead_letters") == 3)
    reasons = rows(store_dsn, "SELECT reason FROM dead_letters ORDER BY reason")
    assert [reason for (reason,) in reasons] == [
        "no OTLP request",
        "no entry of this contract",
        "no gzip: Error -3 while decompressing data: incorrect header check",
    ]
    assert await waiting(redis_url) == 0


async def test_a_record_that_postgres_refuses_costs_itself_alone(
    producer, redis_url, store_dsn
):
    with psycopg.connect(store_dsn) as connection:
        connection.execute(
            "ALTER TABLE logs ADD CONSTRAINT poison CHECK (body NOT LIKE '%poison%')"
        )
    producer.admit(entry([f"good {n}" for n in range(50)]))
    bodies = [f"line {n}" if n not in (3, 77) else "poison" for n in range(100)]
    producer.admit(entry(bodies, trace_id=TRACE))
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn) == 148)
    letters = rows(store_dsn, "SELECT ordinal, reason FROM dead_letters ORDER BY 1")
    assert letters == [
        (3, "refused by the store: 23514"),
        (77, "refused by the store: 23514"),
    ]
    assert rows(store_dsn, "SELECT lines FROM trace_index") == [(98,)]
    assert rows(store_dsn, "SELECT sum(n)::int FROM log_counts") == [(148,)]


async def test_an_entry_of_a_newer_contract_stays_pending(
    producer, redis_url, store_dsn
):
    newer = {"v": "2", "id": queue.batch_id(), "payload": "?"}
    producer._redis.xadd(queue.stream_key(), newer)
    producer.admit(entry(["after it"]))
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn) == 1)
    assert await waiting(redis_url) == 1
    assert count(store_dsn, "dead_letters") == 0


async def test_a_destroyed_group_is_created_again(producer, redis_url, store_dsn):
    async with collecting(redis_url, store_dsn):
        producer.admit(entry(["before"]))
        await until(lambda: count(store_dsn) == 1)
        producer._redis.xgroup_destroy(queue.stream_key(), queue.GROUP)
        producer.admit(entry(["after"]))
        await until(lambda: count(store_dsn) == 2)
    assert await waiting(redis_url) == 0


async def test_a_batch_id_beyond_the_ledger_is_a_dead_letter(
    producer, redis_url, store_dsn
):
    for year in (1970, 2024, 2200):
        milliseconds = (year - 1970) * 31_557_600_000
        old = entry(["from another time"])
        producer.admit(
            queue.Entry(queue.batch_id(milliseconds), b"logs", 1, old.payload)
        )
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn, "dead_letters") == 3)
    assert count(store_dsn) == 0


async def test_rows_of_other_times_get_partitions_or_the_queues_time(
    producer, redis_url, store_dsn
):
    now = time.time_ns()
    hours = [0, 5, 30, 100, 150]
    for ago in hours:
        producer.admit(entry(["late"], time_ns=now - ago * 3_600_000_000_000))
    producer.admit(entry(["ancient"], time_ns=1_000_000_007))
    producer.admit(entry(["far ahead"], time_ns=now + 40 * 86_400_000_000_000))
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn) == 7)
    ages = rows(
        store_dsn,
        "SELECT round(extract(epoch FROM now() - time) / 3600)::int FROM logs"
        " WHERE body = 'late' ORDER BY 1",
    )
    assert [age for (age,) in ages] == hours
    original = rows(
        store_dsn,
        "SELECT (attributes ->> 'log.original_time')::numeric FROM logs"
        " WHERE body = 'ancient' AND now() - time < interval '1 minute'",
    )
    assert original == [(1_000_000_007,)]


INSTANCE = "0190c0de-0000-7000-8000-000000000001"


def counted(bodies: list[str], **counters: object) -> queue.Entry:
    source = {"instance": INSTANCE, "service": "shop", "pid": 7, **counters}
    made = entry(bodies) if bodies else queue.Entry(queue.batch_id(), b"logs", 0, b"")
    return dataclasses.replace(made, source=json.dumps(source).encode())


def counters(dsn: str) -> list[tuple]:
    statement = "SELECT counters->'emitted', counters->'dropped' FROM emitters"
    return rows(dsn, statement)


async def test_counters_without_records_are_stored_without_a_row_or_a_dead_letter(
    producer, redis_url, store_dsn
):
    old = dataclasses.replace(counted([], emitted=8), id=queue.batch_id(1))
    producer.admit(counted([], emitted=9, spooled=4, dropped={"spool_full": 5}))
    producer.admit(old)  # its machine's clock is wrong
    async with collecting(redis_url, store_dsn):
        await until(lambda: bool(counters(store_dsn)))
        producer.admit(entry(["a line"]))
        await until(lambda: count(store_dsn) == 1)
    assert counters(store_dsn) == [(9, {"spool_full": 5})]
    assert rows(store_dsn, "SELECT records FROM batches ORDER BY 1") == [(0,), (1,)]
    assert count(store_dsn, "dead_letters") == 0
    assert await waiting(redis_url) == 0


async def test_counters_of_a_batch_that_waited_on_disk_do_not_set_back_newer_ones(
    producer, redis_url, store_dsn
):
    for group in (
        [
            counted(["b"], emitted=20, spooled=3, dropped={"queue_full": 2}),
            counted([], emitted=20, spooled=3, dropped={"queue_full": 9}),
            counted(["a"], emitted=10, spooled=10, dropped={}),
        ],
        [counted(["c"], emitted=20, spooled=4, dropped={"queue_full": 2})],
    ):
        expected = count(store_dsn, "batches") + len(group)
        for one in group:
            producer.admit(one)
        async with collecting(redis_url, store_dsn):
            await until(lambda n=expected: count(store_dsn, "batches") == n)
        assert counters(store_dsn) == [(20, {"queue_full": 9})]


async def test_counters_that_are_none_cost_nothing_else(producer, redis_url, store_dsn):
    odd = counted(["a"], emitted="many", spooled=-1, dropped={"full": "x", "size": 2})
    producer.admit(odd)
    producer.admit(counted(["b"], emitted=True, dropped=["size"]))
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn) == 2)
    assert counters(store_dsn) == [(None, {"size": 2})]


def odd_entry(**fields: bytes | None) -> dict[bytes, bytes]:
    """An entry's fields, some of them something else, or absent."""
    pairs = entry(["odd"]).fields()
    changed = {name.encode(): value for name, value in fields.items()}
    found = dict(zip(pairs[::2], pairs[1::2], strict=True)) | changed
    return {name: value for name, value in found.items() if value is not None}


async def test_entries_that_no_exporter_makes_cost_themselves_alone(
    producer, redis_url, store_dsn
):
    source = b'{"instance": "%032x", "service": "a\\\\u0000b", "x": %b}'
    odd = [
        odd_entry(signal=b"\xff", records=None),
        odd_entry(records=b"9" * 5000),
        odd_entry(dead=b"reason \0 \xff"),
        odd_entry(source=source % (1, b"1")),
        odd_entry(source=source % (2, b"[" * 500 + b"]" * 500)),
    ]
    producer.admit(entry(["before"]))
    for fields in odd:
        producer._redis.xadd(queue.stream_key(), fields)
    producer.admit(entry(["after"]))
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn) == 4)
        await until(lambda: count(store_dsn, "dead_letters") == 3)
    assert rows(store_dsn, "SELECT reason FROM dead_letters ORDER BY 1") == [
        ("no entry of this contract",),
        ("no entry of this contract",),
        ("reason \N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}",),
    ]
    assert rows(store_dsn, "SELECT service FROM emitters") == [("a\\u0000b",)]
    assert await waiting(redis_url) == 0


async def test_a_batch_whose_resource_postgres_refuses_costs_itself_alone(
    producer, redis_url, store_dsn
):
    with psycopg.connect(store_dsn) as connection:
        connection.execute(
            "ALTER TABLE resources ADD CONSTRAINT poison CHECK (service <> 'poison')"
        )
    for number in range(9):
        service = "poison" if number in (2, 7) else "shop"
        producer.admit(entry([f"line {number}"], service=service))
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn) == 7)
        await until(lambda: count(store_dsn, "dead_letters") == 2)
    letters = rows(store_dsn, "SELECT ordinal, reason FROM dead_letters")
    assert letters == [(-1, "refused by the store: 23514")] * 2
    assert await waiting(redis_url) == 0
