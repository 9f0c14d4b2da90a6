"""Who may send: who has the token, or without one this machine's own programs."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from godot_otel.web.guard import Guard
from godot_otel_collector.receiver import answers


class TokenRequired:
    """Refuses requests that do not carry the token as a bearer."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or hand the request on."""
        if scope["type"] == "http" and not self._carried(scope):
            problem = HTTPException(
                401,
                "this receiver wants its GODOT_OTLP_TOKEN: send the header"
                " Authorization: Bearer TOKEN (OTEL_EXPORTER_OTLP_HEADERS)",
                {"WWW-Authenticate": "Bearer"},
            )
            refusal = answers.error(Headers(scope=scope), problem)
            return await refusal(scope, receive, send)
        return await self._app(scope, receive, send)

    def _carried(self, scope: Scope) -> bool:
        given = [value for key, value in scope["headers"] if key == b"authorization"]
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else [b""] * 3
        return scheme.lower() == b"bearer" and hmac.compare_digest(
            token.strip(), self._expected
        )


def guarded(app: ASGIApp, token: str | None) -> ASGIApp:
    """Put the check in front of *app* that its address and token call for.

    Without a token the receiver listens on loopback alone, where a browser could
    still be made to send: what names another host or origin is refused.
    """
    return TokenRequired(app, token) if token else Guard(app, refusal=_status)


def _status(scope: Scope, status: int, sentence: str) -> ASGIApp:
    return answers.error(Headers(scope=scope), HTTPException(status, sentence))
