"""How much one caller may ask: the same over MCP and the API, nobody else's matter."""

import asyncio

import pytest
from fix_lines import Row
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from godot_otel.rate import AT_ONCE, Limits, RateLimitError, Turns


def test_a_burst_then_a_steady_rate():
    turns = Turns(3, 0.001, 8)
    for _ in range(3):
        with turns.take():
            pass
    with (
        pytest.raises(RateLimitError, match="retry after 1000 s") as error,
        turns.take(),
    ):
        pass
    assert error.value.retry_after == 1000
    quick = Turns(1, 1e9, 8)
    for _ in range(100):
        with quick.take():
            pass


def test_at_once_only_a_few_and_streams_are_counted_by_themselves():
    turns = Turns(100, 1, 2)
    with turns.take(), turns.take(), turns.stream(), turns.stream():
        for more in (turns.take, turns.stream):
            with pytest.raises(RateLimitError), more():
                pass
    with turns.take(), turns.stream():
        pass


async def test_the_api_says_429_and_when_to_come_back(serve, token, lines):
    lines.add(Row("x"))
    mine, other = await token("mine"), await token("other")
    limits = Limits(burst=5, per_second=0.01)
    async with (
        serve(limits=limits) as server,
        server.client(mine) as client,
        server.client(other) as another,
        server.client() as neighbour,
    ):
        for _ in range(5):
            assert (await client.get("/api/stats")).status_code == 200
        for path in ("/api/logs", "/api/stats", "/api/logs?follow=true"):
            answer = await client.get(path)
            assert answer.status_code == 429
            assert 90 < int(answer.headers["retry-after"]) <= 100
            assert answer.json()["error"].startswith("rate limit, retry after")
        assert (await another.get("/api/stats")).status_code == 200
        assert (await neighbour.get("/api/stats")).status_code == 200
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_mcp_says_it_as_a_tools_error_from_the_same_bucket(
    serve, token, lines, mode
):
    lines.add(Row("x"))
    mine = await token("mine")
    async with (
        serve(limits=Limits(burst=5, per_second=0.01)) as server,
        server.client(mine, timeout=10) as http,
    ):
        assert (await http.get("/api/stats")).status_code == 200
        transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            for _ in range(4):
                answer = await client.call_tool("dewey_get_log_stats", {})
                assert not answer.is_error
            answer = await client.call_tool("dewey_get_log_stats", {})
            assert answer.is_error
            assert "rate limit, retry after" in answer.content[0].text
            assert (await http.get("/api/stats")).status_code == 429


async def test_eight_are_answered_at_once(serve, lines):
    lines.add(Row("x"))
    async with serve(limits=None) as server, server.client() as client:
        answers = await asyncio.gather(
            *(client.get("/api/stats") for _ in range(AT_ONCE * 3))
        )
        codes = [answer.status_code for answer in answers]
        assert set(codes) == {200, 429}
        assert codes.count(200) >= AT_ONCE
