"""The one check that every request passes, whatever its path.

A browser on this machine can be made to send requests here: by a page of any site, and
by a name that resolves to 127.0.0.1 (DNS rebinding). Host and Origin tell.
"""

from __future__ import annotations

import re

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_LOOPBACK = r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?"
_HOST = re.compile(_LOOPBACK, re.IGNORECASE)
_ORIGIN = re.compile(r"https?://" + _LOOPBACK, re.IGNORECASE)


class Guard:
    """Refuses requests to other names (421) and from other sites' pages (403)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

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
            refusal = PlainTextResponse("this server answers on localhost only\n", 421)
        elif not all(_ORIGIN.fullmatch(one) for one in _header(scope, b"origin")):
            refusal = PlainTextResponse("other sites' pages may not ask here\n", 403)
        else:
            await self.app(scope, receive, send)
            return
        await refusal(scope, receive, send)


def _header(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
