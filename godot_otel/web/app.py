"""One Starlette app for all that is served over HTTP, and how it is run."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from pathlib import Path

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from godot_otel import notify, query, settings
from godot_otel.errors import GodotError, SettingError, StoreUnreachableError
from godot_otel.mcp import server as mcp_server
from godot_otel.mcp.authority import Authority
from godot_otel.rate import Limits
from godot_otel.web import api, listening
from godot_otel.web.guard import Guard
from godot_otel.web.known import KnownTokens
from godot_otel.web.refusal import refusal
from godot_otel.web.sign_in import SignIn

_SHUTDOWN_TIMEOUT = 3  # seconds; a client's open event stream would never end


def build(
    reader: query.Reader,
    authority: Authority | None = None,
    *,
    hosts: Collection[str] = (),
    local: bool = True,
    limits: Limits | None = None,
) -> Starlette:
    """Make the app; *reader* belongs to the caller. An app runs once.

    *authority* says which tools beside the reading ones ``/mcp`` has; None: none.
    *hosts* are names it is asked by beside this machine's own; *local*: only this
    machine can reach it, so its programs may read without a token.
    """
    mcp = mcp_server.build(reader, authority)
    # Guard checks Host and Origin, for every path. The other arguments stay the
    # library's: only with those does a client that gives up end its statement too.
    unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    mcp_app = mcp.streamable_http_app(transport_security=unchecked)
    known = KnownTokens(reader)

    async def healthz(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with mcp.session_manager.run():  # a mounted app's own never runs
            try:
                yield
            finally:
                await known.close()

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Mount("/api", app=api.build(reader)),
            Mount("/", app=mcp_app),
        ],
        middleware=[
            Middleware(Guard, refusal=refusal, hosts=hosts),
            Middleware(SignIn, known=known, limits=limits or Limits(), local=local),
        ],
        lifespan=lifespan,
    )


async def serve(
    host: str = "127.0.0.1",
    port: int = 9060,
    *,
    reader_dsn: str | None = None,
    redis_url: str | None = None,
    data_dir: Path | None = None,
    scopes: Iterable[str] = (),
    announce: Callable[[str], None] = lambda url: print(url, flush=True),  # noqa: T201
) -> None:
    """Serve until SIGTERM or SIGINT; *announce* the URL once requests are answered.

    *scopes* are what callers whose tokens have them may do beside reading.

    Whoever started this is told then too (``notify``): the socket listens, and the
    store answers or is known to be away.

    Raises:
        SettingError: others can reach the address, and no host name is allowed or no
            token is live; or the port is taken.
    """
    authority = Authority(scopes, redis_url=redis_url, data_dir=data_dir)
    hosts = settings.value("allowed_hosts")
    address = listening.address(host)
    local = listening.is_loopback(address)
    async with query.Reader(reader_dsn, redis_url, data_dir=data_dir) as reader:
        if not local:
            await _check_shared(reader, host, hosts)
        bound = listening.listen(address, port)
        config = uvicorn.Config(
            build(reader, authority, hosts=hosts, local=local),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
        )
        server = uvicorn.Server(config)
        listening.stop_on_signals(server)
        # What is there by now stays. Without this the collector of garbage visits it
        # during an answer of many rows, for 0.1 s.
        gc.freeze()
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        while not (server.started or serving.done()):
            await asyncio.sleep(0.01)
        if not serving.done():
            with contextlib.suppress(StoreUnreachableError):
                async with reader.connection():
                    pass
            announce(f"{listening.url(bound)}/mcp")
            notify.ready()
        await serving
        if not server.started:
            raise GodotError("the web server did not start; its log says why")


async def _check_shared(
    reader: query.Reader, host: str, hosts: Collection[str]
) -> None:
    """Refuse an address that others reach while nobody could be told from anybody."""
    if not hosts:
        raise SettingError(
            f"{host} can be reached by others: set GODOT_ALLOWED_HOSTS to the names"
            " they use, and make a token (`godot-otel token create`); or use 127.0.0.1"
        )
    if not await KnownTokens(reader).any():
        raise SettingError(
            f"{host} can be reached by others, and no token is live: make one with"
            " `godot-otel token create`, or use 127.0.0.1"
        )
