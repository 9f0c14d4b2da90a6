"""What a request that is not answered gets: JSON from the API, a line elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Scope


def refusal(
    scope: Scope, status: int, sentence: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Make the answer out of a status and a sentence that holds no log text."""
    said = {"Cache-Control": "no-store", **(headers or {})}
    if scope["path"].startswith("/api/"):
        return JSONResponse({"error": sentence}, status, said)
    return PlainTextResponse(sentence + "\n", status, said)
