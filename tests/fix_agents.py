"""MCP clients of a server that may do more than read, over each transport."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterable

import uvicorn
from mcp import Client, StdioServerParameters
from starlette.types import ASGIApp

from godot_otel import query
from godot_otel.access import CLEAR, CONTROL, READ, SCOPES, WRITE, Caller
from godot_otel.mcp import server as mcp_server
from godot_otel.mcp.authority import Authority

FLAGS = {WRITE: "--allow-write", CONTROL: "--allow-control", CLEAR: "--allow-clear"}
MODES = ["auto", "legacy"]
TRANSPORTS = ["memory", "stdio", "http"]
AGENT = Caller("agent-7", frozenset(SCOPES))


def signed_in(app: ASGIApp, caller: Caller | None) -> ASGIApp:
    """What a door does that knows its callers by their tokens."""

    async def let_in(scope, receive, send) -> None:
        if scope["type"] == "http" and caller is not None:
            scope.setdefault("state", {})["caller"] = caller
        await app(scope, receive, send)

    return let_in


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """An app on a real socket; gives its URL."""
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def client(
    transport: str,
    mode: str,
    dsn: str,
    redis_url: str,
    *,
    scopes: Iterable[str] = SCOPES,
    caller: Caller | None = AGENT,
) -> AsyncIterator[Client]:
    """A client; over HTTP it is let in as *caller*, None: as nobody known."""
    if transport == "stdio":
        flags = [FLAGS[scope] for scope in scopes if scope != READ]
        environ = {"GODOT_POSTGRES_DSN": dsn, "GODOT_REDIS_URL": redis_url}
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "godot_otel", "mcp", *flags],
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environ},
        )
        async with Client(server, mode=mode) as made:
            yield made
        return
    async with query.Reader(dsn, redis_url) as reader:
        built = mcp_server.build(
            reader, Authority(scopes, redis_url=redis_url, dsn=dsn)
        )
        if transport == "memory":
            async with Client(built, mode=mode) as made:
                yield made
            return
        app = signed_in(built.streamable_http_app(), caller)
        async with serving(app) as url, Client(f"{url}/mcp", mode=mode) as made:
            yield made


async def done(made: Client, tool: str, **arguments) -> dict:
    result = await made.call_tool(tool, arguments)
    assert not result.is_error, result.content[0].text
    return result.structured_content


async def refusal(made: Client, tool: str, **arguments) -> str:
    result = await made.call_tool(tool, arguments)
    assert result.is_error, result.content
    assert "\n" not in result.content[0].text
    return result.content[0].text
