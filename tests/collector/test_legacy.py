"""The original clients' list is drained once, whatever is in it, whoever is killed."""

import asyncio
import contextlib
import json
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from fix_processes import CollectorProcess, count, wait_until

from godot_otel import queue
from godot_otel.errors import QueueFullError
from godot_otel.redact import Redactor
from godot_otel_collector import legacy
from godot_otel_collector.collector import Collector
from godot_otel_collector.legacy import Legacy

LIST = "logs:queue"
TRACE = "0af76519-16cd-43dd-8448-eb211c80319c"


def item(**changes: Any) -> bytes:
    fields = {
        "component": "shop", "level": "WARN", "message": "cart lost",
        "trace_id": TRACE, "data": {"user": "ann", "cart": {"items": [1, 2.5, None]}},
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%S.123456Z", time.gmtime()),
    }  # fmt: skip # one item
    return json.dumps(fields | changes).encode()


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


@contextlib.asynccontextmanager
async def collecting(redis_url: str, dsn: str) -> AsyncIterator[None]:
    collector = Collector(redis_url, owner_dsn=dsn, writer_dsn=dsn, legacy_list=LIST)
    task = asyncio.create_task(collector.run())
    try:
        yield
    finally:
        collector.stop()
        await task


async def until(condition, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)


def rows(dsn: str, statement: str) -> list[tuple]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(statement).fetchall()


def nothing_left(client: redis.Redis) -> bool:
    return not client.exists(LIST) and not list(client.scan_iter("godot:*legacy*"))


async def test_items_become_rows_with_all_their_fields(client, redis_url, store_dsn):
    made = item(data={"user": "ann", "cart": {"items": [1, 2.5, None]}, "token": "x"})
    client.lpush(LIST, item(component="mail", level="info", message="first"))
    client.lpush(LIST, made)  # as the original's clients do, one by one
    client.lpush(LIST, item(message="last", trace_id=None, data=None, created_at=None))
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn) == 3)
    [found] = rows(
        store_dsn,
        "SELECT service, severity, body, trace_id::text, attributes,"
        " to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        " FROM logs WHERE body = 'cart lost'",
    )
    assert found == (
        "shop", 13, "cart lost", TRACE,
        {"user": "ann", "cart": {"items": [1, 2.5, None]}, "token": "[REDACTED]"},
        json.loads(made)["created_at"],
    )  # fmt: skip # one row
    assert rows(store_dsn, "SELECT body FROM logs WHERE service = 'mail'") == [
        ("first",)
    ]
    [(late, attributes)] = rows(
        store_dsn,
        "SELECT now() - time < '1 minute', attributes FROM logs WHERE body = 'last'",
    )
    assert (late, attributes) == (True, None)
    assert nothing_left(client)


GARBAGE = {
    b"no json at all": "no JSON",
    b"\xff\xfe": "no JSON",
    b'{"message": "cut short", "data": {"password": "geheim", "a': "no JSON",
    b"[" * 5000: "no JSON",
    b'["a", "list"]': "no JSON object",
    item(level="LOUD"): "unknown level",
    item(component=None): "component is no text",
    item(message={"not": "text"}): "message is no text",
    item(trace_id="4711"): "trace_id is no UUID",
    item(data=[1]): "data is no object",
    item(created_at="yesterday"): "created_at is no ISO 8601 time",
    item(message="x" * 2**20): "more than 1 MiB; at most 4 MiB are kept of it",
    b"": "no JSON",
}


async def test_what_is_none_becomes_a_dead_letter_and_its_neighbours_are_stored(
    client, redis_url, store_dsn
):
    for number, garbage in enumerate(GARBAGE):
        client.lpush(LIST, item(message=f"neighbour {number}"), garbage)
    odd = ['"\\ud800 half a character"', "NaN", "[" * 50 + "]" * 50, str(10**30)]
    for text in odd:
        client.lpush(LIST, b'{"component": "odd", "level": "INFO", "message": "odd",'
                           b' "data": {"it": %b}}' % text.encode())  # fmt: skip
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn) == len(GARBAGE) + len(odd))
        await until(lambda: count(store_dsn, "dead_letters") == len(GARBAGE))
    letters = rows(store_dsn, "SELECT payload, reason FROM dead_letters")
    assert dict(letters) == {
        raw.replace(b"geheim", b"[REDACTED]"): f"legacy list: {reason}"
        for raw, reason in GARBAGE.items()
    }
    neighbours = "SELECT count(DISTINCT body) FROM logs WHERE body LIKE 'neighbour%'"
    assert rows(store_dsn, neighbours) == [(len(GARBAGE),)]
    assert nothing_left(client)


def made(redis_url: str) -> Legacy:
    return Legacy(redis_url, LIST, redactor=Redactor(), stopping=asyncio.Event())


async def test_what_a_dead_collector_left_at_any_step_is_stored_once(
    client, redis_url, store_dsn, monkeypatch
):
    monkeypatch.setattr(legacy, "MAX_ITEMS", 10)
    client.lpush(LIST, *(item(message=f"item {n}") for n in range(50)), b"garbage")
    dead = made(redis_url)
    moved = [dead._taken() for _ in range(4)]  # the first is left as it is

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:  # before its working list is gone
        killed.setattr(dead, "_drop", die)
        for identity in moved[1:3]:
            with pytest.raises(KeyboardInterrupt):
                dead._finish(identity)
    dead._finish(moved[3])
    other = made(redis_url)
    other._finish(moved[2])  # a living one does the same, then the one that woke up
    dead._finish(moved[2])
    monkeypatch.setattr(legacy, "LEFT_SECONDS", 0)
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn) == 50 and nothing_left(client))
    assert rows(store_dsn, "SELECT count(DISTINCT body) FROM logs") == [(50,)]
    assert count(store_dsn, "dead_letters") == 1
    dead._close()
    other._close()


def test_while_the_queue_is_full_nothing_more_is_taken(client, redis_url, monkeypatch):
    monkeypatch.setattr(legacy, "MAX_ITEMS", 10)
    client.hset(queue.meta_key(), "max_records", 15)
    client.lpush(LIST, *(item(message=f"item {n}") for n in range(50)))
    drain = made(redis_url)
    assert drain._step()
    for _ in range(3):
        with pytest.raises(QueueFullError):
            drain._step()
    assert client.llen(LIST) == 30
    client.hset(queue.meta_key(), "max_records", 100)
    while drain._step():
        pass
    assert nothing_left(client)
    assert client.xlen(queue.stream_key()) == 5
    drain._close()


async def test_a_key_that_is_no_list_is_said_once_and_waited_for(
    client, redis_url, caplog
):
    client.set(LIST, "no list")
    drain = made(redis_url)
    running = asyncio.create_task(drain.run())
    await asyncio.sleep(1.5)  # the second try is after a second
    client.delete(LIST)
    client.lpush(LIST, item())
    await until(lambda: client.xlen(queue.stream_key()) == 1)
    drain._stopping.set()
    await running
    [said] = caplog.messages
    assert "the list logs:queue waits: " in said
    assert "WRONGTYPE" in said


def both_busy(client: redis.Redis, pids: list[int]) -> bool:
    """Freeze the collectors, at a moment when each has a working list or not at all."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    if client.zcard(legacy._INDEX) == 2:
        return True
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    return False


@pytest.fixture
def collectors(redis_url, store_dsn, tmp_path: Path):
    """Two of them; a failed test leaves none behind, stopped or not."""
    started = [
        CollectorProcess(tmp_path, redis_url, store_dsn, GODOT_LEGACY_LIST=LIST)
        for _ in range(2)
    ]
    yield started
    for collector in started:
        if collector.process.poll() is None:
            collector.kill()


@pytest.mark.slow
def test_ten_thousand_items_and_one_of_two_collectors_killed(
    client, store_dsn, collectors
):
    items = [item(message=f"item {n}", trace_id=str(uuid.uuid4())) for n in range(9990)]
    items[1000::1000] = [b"garbage %d" % n for n in range(9)]
    total = len(items) - 9
    first, second = collectors
    pids = [first.pid, second.pid]
    for start in range(0, len(items), 30):
        client.lpush(LIST, *items[start : start + 30])
        if first.process.poll() is None and start > 3000 and both_busy(client, pids):
            first.kill()
            os.kill(second.pid, signal.SIGCONT)
    deadline = time.monotonic() + 60
    while first.process.poll() is None:  # more, until it is killed with a working list
        assert time.monotonic() < deadline
        client.lpush(LIST, *(item(message=f"more {total + n}") for n in range(30)))
        total += 30
        if both_busy(client, pids):
            first.kill()
            os.kill(second.pid, signal.SIGCONT)
    wait_until(lambda: count(store_dsn) >= total, "all rows", 60)
    wait_until(lambda: count(store_dsn, "dead_letters") >= 9, "the dead letters", 30)
    wait_until(lambda: nothing_left(client), "the working lists to go", 30)
    assert second.stop() == 0
    assert rows(store_dsn, "SELECT count(*), count(DISTINCT body) FROM logs") == [
        (total, total)
    ]
    assert count(store_dsn, "dead_letters") == 9
