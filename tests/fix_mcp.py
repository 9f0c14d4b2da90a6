"""A client of the MCP server, over each transport, in both eras of the protocol."""

import asyncio
import contextlib
import os
import socket
import sys

import uvicorn
from mcp import Client, StdioServerParameters

from godot_otel import query
from godot_otel.mcp import server as mcp_server
from godot_otel.web import app as web_app


@contextlib.asynccontextmanager
async def serving(dsn: str):
    """The web app on a real socket; gives its URL."""
    async with query.Reader(dsn) as reader:
        config = uvicorn.Config(
            web_app.build(reader), log_config=None, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            task = asyncio.create_task(server.serve(sockets=[listening]))
            while not server.started:
                await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{port}"
            server.should_exit = True
            await task


@contextlib.asynccontextmanager
async def client(transport: str, mode: str, dsn: str):
    if transport == "memory":
        async with (
            query.Reader(dsn) as reader,
            Client(mcp_server.build(reader), mode=mode) as made,
        ):
            yield made
    elif transport == "http":
        async with serving(dsn) as url, Client(f"{url}/mcp", mode=mode) as made:
            yield made
    else:
        async with Client(stdio(GODOT_POSTGRES_READER_DSN=dsn), mode=mode) as made:
            yield made


def stdio(**environ: str) -> StdioServerParameters:
    code = (
        "import asyncio; from godot_otel.mcp import server; asyncio.run(server.stdio())"
    )
    return StdioServerParameters(
        command=sys.executable,
        args=["-c", f"import asyncio; {code}"],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environ},
    )


async def ask(made, tool: str, **arguments) -> str:
    result = await made.call_tool(tool, arguments)
    assert not result.is_error, result.content[0].text
    assert result.structured_content is None
    return result.content[0].text


async def refusal(made, tool: str, **arguments) -> str:
    result = await made.call_tool(tool, arguments)
    assert result.is_error, result.content
    return result.content[0].text


class OneCall:
    """A client for each call: a fixture cannot hold one, its task is another."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def call_tool(self, tool: str, arguments: dict):
        async with client("memory", "auto", self.dsn) as opened:
            return await opened.call_tool(tool, arguments)
