"""What all answers of the API share: strict parameters, a turn, JSON."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from godot_otel import query
from godot_otel.web.api import parameters
from godot_otel.web.api.parameters import Parameter

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Given = dict[str, Any]
"""A request's parameters by name, read and checked."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One question: its path below ``/api``, what may be given, and what comes."""

    path: str
    summary: str
    parameters: tuple[Parameter, ...]
    answers: dict[str, tuple[str, ...]]
    """The schemas that the answer may have, by content type."""
    answer: Callable[[query.Reader, Request, Given], Awaitable[Response]]


def endpoint(
    operation: Operation, reader: query.Reader
) -> Callable[[Request], Awaitable[Response]]:
    """Make what a route calls."""

    async def run(request: Request) -> Response:
        with request.state.turns.take():
            given = parameters.read(request.query_params, operation.parameters)
            return await operation.answer(reader, request, given)

    return run


def dumps(value: Any) -> str:
    """JSON as every door writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_answer(
    value: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Answer with a value, or with a text that is JSON already."""
    text = value if isinstance(value, str) else dumps(value)
    said = {**HEADERS, **(headers or {})}
    return Response(text, status, said, media_type="application/json")
