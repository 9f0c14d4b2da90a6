"""The one check that every request passes, whatever its path.

A browser on this machine can be made to send requests here: by a page of any site, and
by a name that resolves to 127.0.0.1 (DNS rebinding). Host and Origin tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_LOOPBACK = r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?"
_HOST = re.compile(_LOOPBACK, re.IGNORECASE)
_ORIGIN = re.compile(r"https?://" + _LOOPBACK, re.IGNORECASE)


def _text(scope: Scope, status: int, sentence: str) -> ASGIApp:
    return PlainTextResponse(sentence + "\n", status)


class Guard:
    """Refuses requests to other names (421) and from other sites' pages (403).

    *refusal* makes the answer out of the request's scope, a status and a sentence.
    """

    def __init__(
        self, app: ASGIApp, refusal: Callable[[Scope, int, str], ASGIApp] = _text
    ) -> None:
        self.app = app
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or hand the request on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":  # nothing here speaks it
            await send({"type": "websocket.close", "code": 1008})
            return
        hosts = _header(scope, b"host")
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            answer = self._refusal(scope, 421, "this server answers on localhost only")
        elif not all(_ORIGIN.fullmatch(one) for one in _header(scope, b"origin")):
            answer = self._refusal(scope, 403, "other sites' pages may not ask here")
        else:
            answer = self.app
        await answer(scope, receive, send)


def _header(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
