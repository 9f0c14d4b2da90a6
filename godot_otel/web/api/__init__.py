"""The JSON API under ``/api/``: the same questions as the other doors, for programs.

``parameters`` is the one table of what may be asked, from which requests are read and
the OpenAPI document is made; ``operation`` is what all answers share; then one noun a
file. A new question is an Operation of its file, added to OPERATIONS.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from godot_otel import query
from godot_otel.web.api import errors, logs, openapi, stats, traces
from godot_otel.web.api.operation import Operation, endpoint, json_answer

OPERATIONS: tuple[Operation, ...] = (
    logs.LOGS,
    traces.TRACES,
    traces.TRACE,
    stats.STATS,
)


def build(reader: query.Reader) -> Starlette:
    """Make the app that is mounted at ``/api``; ``sign_in`` has run before it."""

    async def document(request: Request) -> Response:
        with request.state.turns.take():
            return json_answer(openapi.document(OPERATIONS))

    routes = [Route(one.path, endpoint(one, reader)) for one in OPERATIONS]
    return Starlette(
        routes=[*routes, Route("/openapi.json", document)],
        exception_handlers=errors.HANDLERS,
    )
