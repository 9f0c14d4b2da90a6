"""The one check that every request passes, whatever its path.

A browser on this machine can be made to send requests here: by a page of any site, and
by a name that resolves to 127.0.0.1 (DNS rebinding). Host and Origin tell. Next
station: ``sign_in``, which says who asks. A page can also fetch without an Origin and
never see the answer, yet have the work done: browsers say so in Sec-Fetch-Site.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_LOOPBACK = re.compile(
    r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE
)
_PORT = r"(?::\d{1,5})?"
_ADDRESS = rf"(?:[0-9.]+|\[[0-9a-f:.]+\]){_PORT}"


def _text(scope: Scope, status: int, sentence: str) -> ASGIApp:
    return PlainTextResponse(sentence + "\n", status)


class Guard:
    """Refuses requests to other names (421) and from other sites' pages (403).

    Let in are this machine's own names and *hosts*: with a port that port alone,
    without one any; with *addresses* any address too, which no page can come by.
    *refusal* makes the answer out of the request's scope, a status and a sentence.
    """

    def __init__(
        self,
        app: ASGIApp,
        refusal: Callable[[Scope, int, str], ASGIApp] = _text,
        *,
        hosts: Iterable[str] = (),
        addresses: bool = False,
    ) -> None:
        self.app = app
        self._refusal = refusal
        names = "|".join([_LOOPBACK.pattern, *map(_pattern, hosts)])
        asked = f"{names}|{_ADDRESS}" if addresses else names
        self._host = re.compile(f"(?:{asked})", re.IGNORECASE)
        self._origin = re.compile(f"https?://(?:{names})", re.IGNORECASE)
        named = "to the names of GODOT_ALLOWED_HOSTS" if hosts else "on localhost only"
        if addresses:
            named = "to addresses and the names of GODOT_ALLOWED_HOSTS"
        self._sentence = f"this server answers {named}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or hand the request on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":  # nothing here speaks it
            await send({"type": "websocket.close", "code": 1008})
            return
        hosts = header(scope, b"host")
        if len(hosts) != 1 or not self._host.fullmatch(hosts[0]):
            answer = self._refusal(scope, 421, self._sentence)
        elif _of_other_site(scope) or not all(
            self._origin.fullmatch(one) for one in header(scope, b"origin")
        ):
            answer = self._refusal(scope, 403, "other sites' pages may not ask here")
        else:
            answer = self.app
        await answer(scope, receive, send)


def _of_other_site(scope: Scope) -> bool:
    """Whether another site's page has the browser ask; a person may follow a link."""
    if header(scope, b"sec-fetch-site") != ["cross-site"]:
        return False
    return header(scope, b"sec-fetch-dest") != ["document"]


def header(scope: Scope, name: bytes) -> list[str]:
    """Every value of a header, as often as it was sent."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def is_loopback_name(host: str) -> bool:
    """Whether a Host header names this machine as only its own programs do."""
    return _LOOPBACK.fullmatch(host) is not None


def _pattern(host: str) -> str:
    has_port = re.search(r":\d+$", host) is not None
    return re.escape(host) + ("" if has_port else _PORT)
