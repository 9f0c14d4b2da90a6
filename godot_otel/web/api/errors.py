"""Errors as the API says them: ``{"error": sentence}``, and nothing of any log line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from godot_otel.errors import GodotError, SettingError, StoreUnreachableError
from godot_otel.query import FilterError, TooSlowError
from godot_otel.rate import RateLimitError
from godot_otel.web.api.operation import json_answer

_RETRY = {"Retry-After": "2"}
# The first class that fits counts.
_STATUS: tuple[tuple[type[GodotError], int, dict[str, str]], ...] = (
    (FilterError, 400, {}),
    (StoreUnreachableError, 503, _RETRY),
    (TooSlowError, 503, {}),
    (SettingError, 503, _RETRY),  # the schema and this program do not fit
    (GodotError, 500, {}),
)


def said(sentence: str, status: int, headers: Mapping[str, str]) -> Response:
    """Answer with an error."""
    return json_answer({"error": sentence}, status, dict(headers))


def _ours(_: Request, error: Exception) -> Response:
    for kind, status, headers in _STATUS:
        if isinstance(error, kind):
            return said(str(error), status, headers)
    raise error


def _rate(_: Request, error: Exception) -> Response:
    assert isinstance(error, RateLimitError)
    return said(str(error), 429, {"Retry-After": str(error.retry_after)})


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = "no such path: see /api/openapi.json"
    if error.status_code == 405:
        sentence = "the API is for reading: GET"
    return said(sentence, error.status_code, error.headers or {})


HANDLERS: dict[Any, Any] = {
    RateLimitError: _rate,
    GodotError: _ours,
    HTTPException: _http,
}
