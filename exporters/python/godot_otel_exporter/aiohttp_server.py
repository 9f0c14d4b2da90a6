"""What OpenTelemetry's instrumentor of aiohttp's server lacks.

It writes no response headers, and breaks ``web.Application(middlewares=(one,))``.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.propagators import (
    Setter,
    get_global_response_propagator,
)

from godot_otel_exporter.diagnostics import report_once

_INSTRUMENTOR = "opentelemetry.instrumentation.aiohttp_server"

# The response is prepared after the span has ended. Each request runs in a task of its
# own, so that nothing is left for the next one of the connection.
_span: ContextVar[trace.Span] = ContextVar(
    "godot_otel_request", default=trace.INVALID_SPAN
)


def mend() -> None:
    """Let applications made from now on answer with the trace's id.

    The application's list of middlewares is no longer changed, and may be a tuple.
    """
    from aiohttp import web

    create: Callable[..., None] = web.Application.__init__
    if web.Application.__module__ != _INSTRUMENTOR or hasattr(create, "__wrapped__"):
        return

    @functools.wraps(create)
    def create_answering(self: Any, *arguments: Any, **keywords: Any) -> None:
        remember = web.middleware(_remember)
        keywords["middlewares"] = [remember, *(keywords.get("middlewares") or ())]
        create(self, *arguments, **keywords)
        self.on_response_prepare.append(_answer)

    web.Application.__init__ = create_answering  # type: ignore[method-assign]


async def _remember(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    """The first middleware after OpenTelemetry's: the request's span is active."""
    _span.set(trace.get_current_span())
    return await handler(request)


async def _answer(request: Any, response: Any) -> None:
    """Write the headers: those of errors and streams as well, not of websockets."""
    propagator = get_global_response_propagator()  # type: ignore[no-untyped-call]
    if propagator is None or response.status == 101:
        return
    try:
        context = trace.set_span_in_context(_span.get())
        propagator.inject(response, context=context, setter=_headers)
    except Exception as error:
        report_once("response", "a response got no trace id: %s", type(error).__name__)


class _Headers(Setter):
    def set(self, carrier: Any, key: str, value: str) -> None:
        """Set a header; one that is a list gets *value* added, once."""
        if key.lower() != "access-control-expose-headers":
            carrier.headers[key] = value
        elif value not in carrier.headers.getall(key, ()):
            carrier.headers.add(key, value)


_headers = _Headers()
