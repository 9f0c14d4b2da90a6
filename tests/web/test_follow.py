"""Server-sent events: every line once, over writers that overlap and reconnects."""

import asyncio
import json
import random

import psycopg
import pytest
from fix_lines import Row

from godot_otel.web.api import follow

FOLLOW = "/api/logs?follow=true"


async def events(client, path: str, *, last: str = ""):
    """(id, data) of each event as an EventSource would keep them; None: no data."""
    headers = {"Last-Event-ID": last} if last else {}
    async with client.stream("GET", path, headers=headers, timeout=20) as stream:
        assert stream.status_code == 200, await stream.aread()
        assert stream.headers["content-type"].startswith("text/event-stream")
        found: dict[str, str] = {}
        async for line in stream.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                found[name] = value
            else:
                yield found["id"], found.get("data") and json.loads(found["data"])
                found = {}


async def test_nothing_is_missed_or_twice_over_two_writers_and_reconnects(
    server, lines, store_dsn
):
    """Each writer takes its place in the order, and commits later than others."""
    lines.add(Row("before"))
    committed: list[int] = []
    chance = random.Random(5)

    async def write(name: str) -> None:
        for number in range(25):
            with psycopg.connect(store_dsn) as connection:
                lines.insert(connection, (Row(f"{name}{number}"), Row("-")))
                (own,) = connection.execute("SELECT txid_current()").fetchone()
                await asyncio.sleep(chance.random() * 0.06)
                connection.commit()
                committed.append(own)

    async def both() -> None:
        await asyncio.gather(write("a"), write("b"))

    seen: list[str] = []
    seqs: list[int] = []
    last, connections = "", 0
    async with server.client() as client, asyncio.timeout(60):
        writing = None
        while len(seen) < 50:
            connections += 1
            stop = len(seen) + chance.randint(3, 12)
            stream = events(client, FOLLOW, last=last)
            async for at, row in stream:
                last = at
                if writing is None:
                    writing = asyncio.create_task(both())
                if row:
                    seqs.append(row["seq"])
                    seen += [row["body"]] if row["body"] != "-" else []
                if len(seen) >= stop or len(seen) == 50:
                    break
            await stream.aclose()
        await writing
        # What is still to come is nothing but the last writer's second row.
        async with asyncio.timeout(10):
            async for _, row in events(client, FOLLOW, last=last):
                seqs += [row["seq"]] if row else []
                if len(seqs) == 100:
                    break
    assert committed != sorted(committed), "none committed late: nothing is shown"
    assert connections > 3
    assert sorted(seen) == sorted(f"{w}{n}" for w in "ab" for n in range(25))
    assert seqs == sorted(set(seqs))
    assert [one for one in seen if one[0] == "a"] == [f"a{n}" for n in range(25)]


async def test_filters_hold_and_heartbeats_carry_the_cursor(server, lines, monkeypatch):
    monkeypatch.setattr(follow, "HEARTBEAT", 0.05)
    lines.add(Row("x"))
    given = "&service=pay&level=ERROR&search=card&where=plan%3Dpro"
    wanted = {"service": "pay", "severity": 17, "attributes": {"plan": "pro"}}
    async with server.client() as client, asyncio.timeout(20):
        stream = events(client, FOLLOW + given)
        start, _ = await anext(stream)
        lines.add(
            Row("the card", **wanted), Row("the cardinal", **wanted),
            Row("the card", **{**wanted, "service": "other"}),
            Row("the card", **{**wanted, "severity": 9}),
        )  # fmt: skip # rows
        found = []
        while not found:
            at, row = await anext(stream)
            found += [row["body"]] if row else []
        before = at
        lines.add(*(Row("noise") for _ in range(5)))
        while at == before:  # over what does not match the cursor moves on too
            at, row = await anext(stream)
            assert row is None
        await stream.aclose()
        assert found == ["the card"]
        answer = await client.get(FOLLOW, headers={"Last-Event-ID": start})
        assert answer.status_code == 400
        assert "other filters" in answer.json()["error"]


async def test_a_stream_outlives_the_store_being_away(server, lines, store_dsn):
    lines.add(Row("x"))
    async with server.client() as client, asyncio.timeout(20):
        stream = events(client, FOLLOW)
        await anext(stream)
        with psycopg.connect(store_dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        lines.add(Row("after"))
        while not (row := (await anext(stream))[1]):
            pass
        assert row["body"] == "after"
        await stream.aclose()


async def test_a_client_that_goes_takes_its_stream_along(serve, lines):
    """Sixteen, one after the other, where eight at once are allowed."""
    lines.add(Row("x"))
    async with serve(limits=None) as server, server.client() as client:
        for _ in range(16):
            for _attempt in range(50):
                try:
                    stream = events(client, FOLLOW)
                    await anext(stream)
                    break
                except AssertionError:  # the one before is being ended still
                    await asyncio.sleep(0.1)
            else:
                pytest.fail("a stream that was left keeps its turn")
            await stream.aclose()
