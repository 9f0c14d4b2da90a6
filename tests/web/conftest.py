"""A store with lines in it, and the web app on a real socket."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import httpx2
import psycopg
import pytest
import uvicorn
from fix_lines import Lines
from fix_spans import Spans
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from godot_otel import query, tokens
from godot_otel.access import READ
from godot_otel.rate import Limits
from godot_otel.web import app as web_app

PLENTY = Limits(burst=1_000_000, per_second=1_000_000)


@pytest.fixture
def lines(store_dsn: str) -> Lines:
    return Spans(store_dsn)


class Server:
    """Where the app is reached; ``port`` for what is sent byte by byte."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def client(self, token: str = "", **more: object) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, **more)

    async def raw(self, *head: str, body: bytes = b"") -> tuple[int, str]:
        """Send a request as its lines; return the status and all of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        text = "\r\n".join([*head, "Connection: close", "", ""])
        writer.write(text.encode("latin-1") + body)
        try:
            answer = await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        return int(answer.split(b" ", 2)[1]), answer.decode("latin-1")


@contextlib.asynccontextmanager
async def serving(
    dsn: str, *, redis_url: str | None = None, port: int = 0, **options: object
) -> AsyncIterator[Server]:
    options.setdefault("limits", PLENTY)
    async with query.Reader(dsn, redis_url) as reader:
        config = uvicorn.Config(
            web_app.build(reader, **options),
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", port)) as listening:
            task = asyncio.create_task(server.serve(sockets=[listening]))
            while not server.started:
                await asyncio.sleep(0.01)
            try:
                yield Server(listening.getsockname()[1])
            finally:
                server.should_exit = True
                await task


@pytest.fixture
def serve(store_dsn: str):
    """Serve this test's store: ``async with serve(local=False) as server``."""

    def start(**options: object):
        return serving(options.pop("dsn", store_dsn), **options)

    return start


@pytest.fixture
async def server(serve) -> AsyncIterator[Server]:
    async with serve() as made:
        yield made


@pytest.fixture
def token(store_dsn: str):
    """Make tokens: ``await token("name", scopes)``."""

    async def make(name: str = "reader", *scopes: str, days: int | None = None) -> str:
        return await tokens.create(store_dsn, name, scopes or (READ,), days=days)

    return make


@pytest.fixture
def take_away(store_dsn: str, postgres):
    """Make this test's store refuse everybody, from now on."""

    def away() -> None:
        name = conninfo_to_dict(store_dsn)["dbname"]
        with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
            refuse = "ALTER DATABASE {} ALLOW_CONNECTIONS false"
            connection.execute(sql.SQL(refuse).format(sql.Identifier(name)))
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s",
                [name],
            )

    return away
