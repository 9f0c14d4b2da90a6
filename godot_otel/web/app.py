"""One Starlette app for all that is served over HTTP, and how it is run."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from godot_otel import notify, query
from godot_otel.errors import GodotError, SettingError, StoreUnreachableError
from godot_otel.mcp import server as mcp_server
from godot_otel.web.guard import Guard

_SHUTDOWN_TIMEOUT = 3  # seconds; a client's open event stream would never end


def build(reader: query.Reader) -> Starlette:
    """Make the app; *reader* belongs to the caller. An app runs once."""
    mcp = mcp_server.build(reader)
    # Guard checks Host and Origin, for every path. The other arguments stay the
    # library's: only with those does a client that gives up end its statement too.
    unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    mcp_app = mcp.streamable_http_app(transport_security=unchecked)

    async def healthz(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with mcp.session_manager.run():  # a mounted app's own never runs
            yield

    return Starlette(
        routes=[Route("/healthz", healthz), Mount("/", app=mcp_app)],
        middleware=[Middleware(Guard)],
        lifespan=lifespan,
    )


async def serve(
    host: str = "127.0.0.1",
    port: int = 9060,
    *,
    reader_dsn: str | None = None,
    redis_url: str | None = None,
    data_dir: Path | None = None,
    announce: Callable[[str], None] = lambda url: print(url, flush=True),  # noqa: T201
) -> None:
    """Serve until SIGTERM or SIGINT; *announce* the URL once requests are answered.

    Whoever started this is told then too (``notify``): the socket listens, and the
    store answers or is known to be away.

    Raises:
        SettingError: the address is not this machine's own, or the port is taken.
    """
    listening = _listen(host, port)
    async with query.Reader(reader_dsn, redis_url, data_dir=data_dir) as reader:
        config = uvicorn.Config(
            build(reader),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
        )
        server = uvicorn.Server(config)
        _stop_on_signals(server)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not (server.started or serving.done()):
            await asyncio.sleep(0.01)
        if not serving.done():
            with contextlib.suppress(StoreUnreachableError):
                async with reader.connection():
                    pass
            name, real = listening.getsockname()[:2]
            announce(f"http://{f'[{name}]' if ':' in name else name}:{real}/mcp")
            notify.ready()
        await serving
        if not server.started:
            raise GodotError("the web server did not start; its log says why")


def _listen(host: str, port: int) -> socket.socket:
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise SettingError(f"{host!r} is no address; use 127.0.0.1") from None
    if str(address) not in ("127.0.0.1", "::1"):
        raise SettingError(
            f"{host} can be reached by others, and there is no sign-in yet:"
            " use 127.0.0.1, and a tunnel or a proxy with one for others"
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((str(address), port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        raise SettingError(
            f"port {port} on {host} cannot be used"
            f" ({getattr(error, 'strerror', None) or error}); choose another with"
            " --port, 0 for any free one"
        ) from None
    return listening


def _stop_on_signals(server: uvicorn.Server) -> None:
    """End with status 0: uvicorn raises the signal again when it has stopped, and
    what it restored before that is this handler."""

    def stop() -> None:
        server.should_exit = True

    for name in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(RuntimeError, ValueError):  # not the main thread
            asyncio.get_running_loop().add_signal_handler(name, stop)
