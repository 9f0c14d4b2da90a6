"""The health port of one collector: /healthz, /readyz and /metrics.

Beyond loopback it lets in who asks it by an address or an allowed name: Prometheus and
probes do. A page in somebody's browser can only come by a name (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TypeVar

import uvicorn
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from godot_otel.errors import GodotError
from godot_otel.web.guard import Guard
from godot_otel.web.listening import address, is_loopback, listen, url
from godot_otel_collector.metrics import Metrics
from godot_otel_collector.probe import Probe

log = logging.getLogger(__name__)

_T = TypeVar("_T")


def build(probe: Probe, metrics: Metrics, guard: Middleware) -> Starlette:
    """Make the app of one collector."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")  # the event loop turns, or nothing would come

    async def readyz(_: Request) -> Response:
        problem = await probe.problem()
        if problem is None:
            return PlainTextResponse("ok\n")
        return PlainTextResponse(f"{problem}\n", 503)

    async def numbers(_: Request) -> Response:
        depth, facts = await asyncio.gather(
            probe.depth(), probe.store(), return_exceptions=True
        )
        text = metrics.render(_known(depth), _known(facts))
        return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", numbers),
        ],
        middleware=[guard],
    )


def _known(answer: _T | BaseException) -> _T | None:
    if isinstance(answer, BaseException):
        if not isinstance(answer, GodotError):
            raise answer
        return None
    return answer


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are the collector's


@contextlib.asynccontextmanager
async def serving(
    host: str, port: int, probe: Probe, metrics: Metrics, *, names: Iterable[str] = ()
) -> AsyncIterator[None]:
    """Answer on *port* (0: any free one) of *host* while the block runs.

    *names* are those of this machine that others may ask by.

    Raises:
        SettingError: the port is taken.
    """
    where = address(host)
    listening = listen(where, port, setting="GODOT_HTTP_PORT")
    shared = not is_loopback(where)
    guard = Middleware(Guard, hosts=names if shared else (), addresses=shared)
    config = uvicorn.Config(
        build(probe, metrics, guard),
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    log.info("health port: %s/readyz", url(listening), extra={"action": "health_port"})
    try:
        yield
    finally:
        server.should_exit = True
        await task
