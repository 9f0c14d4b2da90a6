"""Who is let in: tokens, host names, scopes, and how soon a token ends."""

import time

import psycopg
import pytest
from fix_lines import Row

from godot_otel import tokens
from godot_otel.access import READ, WRITE
from godot_otel.web import known

PATHS = ["/api/logs", "/api/traces", "/api/stats", "/api/nothing", "/api/openapi.json"]
MCP = "/mcp"
INITIALIZE = (
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":'
    b'"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}'
)


def post(*head: str, body: bytes = INITIALIZE) -> list[str]:
    return [
        f"POST {MCP} HTTP/1.1", *head, "Content-Type: application/json",
        "Accept: application/json, text/event-stream", f"Content-Length: {len(body)}",
    ]  # fmt: skip # a request's head


async def test_what_stands_on_the_wire_decides(server, token):
    good = await token()
    weak = await token("writer", WRITE)
    local, evil = "Host: localhost", "Host: evil.example"

    for path in [*PATHS, "/healthz", "/elsewhere"]:
        get = f"GET {path} HTTP/1.1"
        assert (await server.raw(get, evil))[0] == 421
        assert (await server.raw(get, local, "Origin: http://evil.example"))[0] == 403
        # Host and Origin come first: a good token does not help a browser's page.
        shown = f"Authorization: Bearer {good}"
        assert (await server.raw(get, evil, shown))[0] == 421
    for path in PATHS:
        get = f"GET {path} HTTP/1.1"
        for wrong in (
            "Bearer x", "Bearer " + good[:-1], "Bearer", "Basic dTpw", "", good,
            f"Bearer {good} x", "Bearer \xff", "bearer " + good.upper(),
        ):  # fmt: skip # headers that are no token
            status, answer = await server.raw(get, local, f"Authorization: {wrong}")
            assert status == 401, wrong
            assert "www-authenticate: bearer" in answer.lower()
            assert '{"error":' in answer
            assert good not in answer
        twice = [f"Authorization: Bearer {good}"] * 2
        assert (await server.raw(get, local, *twice))[0] == 401
        status, answer = await server.raw(get, local, f"Authorization: bearer {weak}")
        assert status == 403
        assert 'scope="logs:read"' in answer
        assert "lacks the scope logs:read" in answer
    status, answer = await server.raw(
        *post(local, "Authorization: Bearer x"), body=INITIALIZE
    )
    assert status == 401
    assert "www-authenticate: bearer" in answer.lower()
    for shown in ([], [f"Authorization: Bearer {good}"]):
        head = post(local, *shown)
        assert (await server.raw(*head, body=INITIALIZE))[0] == 200
        assert (await server.raw("GET /api/logs HTTP/1.1", local, *shown))[0] == 200
    huge = b" " * (5 * 1024 * 1024)
    head = post(local, f"Authorization: Bearer {good}", body=huge)
    assert (await server.raw(*head))[0] == 413


async def test_others_need_a_token_for_everything_but_health(serve, token):
    good = await token()
    async with serve(local=False, hosts=("logs.example.com", "b.example:81")) as server:
        for path in [*PATHS, MCP, "/elsewhere"]:
            for host in ("logs.example.com", "logs.example.com:9", "localhost"):
                get = [f"GET {path} HTTP/1.1", f"Host: {host}"]
                assert (await server.raw(*get))[0] == 401
                assert (await server.raw(*get, f"Authorization: Bearer {good}"))[
                    0
                ] != 401
        assert (await server.raw("GET /healthz HTTP/1.1", "Host: localhost"))[0] == 200
        for host, status in (
            ("b.example:81", 200), ("B.example:81", 200), ("b.example", 421),
            ("xlogs.example.com", 421), ("logs.example.com.evil", 421),
            ("logsXexample.com", 421),
        ):  # fmt: skip # a name beside its answer
            got, _ = await server.raw("GET /healthz HTTP/1.1", f"Host: {host}")
            assert got == status, host
        for origin, status in (
            ("https://logs.example.com", 200), ("https://evil.example", 403),
        ):  # fmt: skip # as above
            get = ["GET /healthz HTTP/1.1", "Host: localhost", f"Origin: {origin}"]
            assert (await server.raw(*get))[0] == status


async def test_a_name_that_others_use_needs_a_token_on_loopback_too(serve):
    """A proxy on this machine makes what it lets through no neighbour's request."""
    async with serve(hosts=("logs.example.com",)) as server:
        get = "GET /api/stats HTTP/1.1"
        assert (await server.raw(get, "Host: logs.example.com"))[0] == 401
        assert (await server.raw(get, "Host: localhost"))[0] == 200


async def test_a_token_is_kept_as_a_hash_and_shown_once(store_dsn, token):
    made = await token("ci", READ, WRITE, days=3)
    assert len(made) >= 43 + len(tokens.PREFIX)
    with psycopg.connect(store_dsn) as connection:
        rows = connection.execute("SELECT t::text FROM tokens AS t").fetchall()
    assert made not in str(rows)
    assert tokens.digest(made).hex() in rows[0][0]
    found = (await tokens.listed(store_dsn))[0]
    assert (found.name, found.state, found.scopes) == ("ci", "live", {READ, WRITE})
    with pytest.raises(Exception, match="a token called ci is there already"):
        await token("ci")


async def test_a_revoked_or_expired_token_ends_within_five_seconds(
    server, token, store_dsn
):
    keys = {name: await token(name) for name in ("gone", "old", "good")}
    async with (
        server.client(keys["gone"]) as gone,
        server.client(keys["old"]) as old,
        server.client(keys["good"]) as good,
    ):
        for one in (gone, old, good):
            assert (await one.get("/api/stats")).status_code == 200
        async with gone.stream("GET", "/api/logs?follow=true", timeout=10) as stream:
            began = time.monotonic()
            await tokens.revoke(store_dsn, "gone")
            with psycopg.connect(store_dsn) as connection:
                connection.execute(
                    "UPDATE tokens SET expires_at = now() WHERE name = 'old'"
                )
            async for _ in stream.aiter_lines():  # to its end
                pass
            assert time.monotonic() - began < 5
        for one in (gone, old):
            answer = await one.get("/api/stats")
            assert answer.status_code == 401
            assert "expired or revoked" in answer.json()["error"]
        assert (await good.get("/api/stats")).status_code == 200
    states = {one.name: one.state for one in await tokens.listed(store_dsn)}
    assert states == {"gone": "revoked", "old": "expired", "good": "live"}
    assert (await tokens.listed(store_dsn))[-1].last_used is not None


async def test_tokens_are_known_while_the_store_is_away(
    serve, token, take_away, lines, monkeypatch
):
    lines.add(Row("a"))
    good = await token()
    async with serve() as server, server.client(good) as client:
        assert (await client.get("/api/stats")).status_code == 200
        take_away()
        for shown, status in ((good, 503), ("x" * 40, 401)):
            began = time.monotonic()
            headers = {"Authorization": f"Bearer {shown}"}
            answer = await client.get("/api/logs", headers=headers)
            assert time.monotonic() - began < 3
            assert answer.status_code == status
        assert (await client.get("/api/openapi.json")).status_code == 200
        monkeypatch.setattr(known, "KEPT", 0.0)
        answer = await client.get("/api/openapi.json")
        assert answer.status_code == 503
        assert "tokens cannot be checked" in answer.json()["error"]
    async with serve() as server, server.client(good) as client:
        began = time.monotonic()
        answer = await client.get("/api/stats")
        assert time.monotonic() - began < 3
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert "store unreachable since" in answer.json()["error"]


async def test_the_reader_role_marks_use_and_can_change_no_token(token, store_dsn):
    good = await token()
    with psycopg.connect(store_dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE token_reader")
        try:
            connection.execute("GRANT SELECT ON tokens TO token_reader")
            connection.execute("SET ROLE token_reader")
            connection.execute("SELECT token_used(%s)", [tokens.digest(good)])
            for change in (
                "UPDATE tokens SET revoked_at = NULL", "DELETE FROM tokens",
                "INSERT INTO tokens (hash, name, scopes)"
                " VALUES (sha256('x'), 'x', '{logs:clear}')",
            ):  # fmt: skip # statements
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(change)
        finally:
            connection.execute("RESET ROLE")
            connection.execute("DROP OWNED BY token_reader")
            connection.execute("DROP ROLE token_reader")
    (found,) = await tokens.listed(store_dsn)
    assert found.last_used is not None
    assert found.state == "live"
