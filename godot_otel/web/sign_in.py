"""Who asks: the check of every request after Host and Origin.

Leaves ``caller``, ``turns`` and ``live`` in the request's state for the doors.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from godot_otel.access import READ, Caller
from godot_otel.errors import GodotError
from godot_otel.rate import Limits
from godot_otel.web.guard import header, is_loopback_name
from godot_otel.web.known import KnownTokens
from godot_otel.web.refusal import refusal

NEIGHBOUR = Caller("http", frozenset({READ}))
"""A program on this machine that shows no token."""

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,500}) *", re.IGNORECASE)
_OPEN = ("/healthz",)
_NEEDED = READ  # what every path takes; tools that do more name their own scope
_HOW = "send the header Authorization: Bearer TOKEN (`godot-otel token create`)"


class SignIn:
    """Lets a token's bearer in, and this machine's own programs to read.

    *local*: only this machine can reach the server, so a request to one of its own
    names needs no token. One that is wrong, expired or revoked is refused always.
    """

    def __init__(
        self, app: ASGIApp, *, known: KnownTokens, limits: Limits, local: bool
    ) -> None:
        self.app = app
        self._known = known
        self._limits = limits
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or hand the request on."""
        if scope["type"] == "http" and scope["path"] not in _OPEN:
            answer = await self._check(scope)
            if answer is not None:
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _check(self, scope: Scope) -> ASGIApp | None:
        shown = header(scope, b"authorization")
        if not shown:
            if not (self._local and is_loopback_name(header(scope, b"host")[0])):
                return _unknown(scope, f"a token is needed: {_HOW}", "Bearer")
            self._let_in(scope, NEIGHBOUR, lambda: True)
            return None
        bearer = _BEARER.fullmatch(shown[0]) if len(shown) == 1 else None
        if bearer is None:
            return _unknown(scope, f"no token in that header: {_HOW}", "Bearer")
        try:
            token = await self._known.find(bearer[1])
        except GodotError as error:
            return refusal(scope, 503, str(error), {"Retry-After": "2"})
        if token is None:
            wrong = 'Bearer error="invalid_token"'
            return _unknown(scope, "no such token; it may be expired or revoked", wrong)
        if _NEEDED not in token.scopes:
            lacks = f'Bearer error="insufficient_scope", scope="{_NEEDED}"'
            sentence = f"this token lacks the scope {_NEEDED}"
            return refusal(scope, 403, sentence, {"WWW-Authenticate": lacks})
        caller = Caller(token.name, token.scopes)
        self._let_in(scope, caller, lambda: self._known.still(token))
        return None

    def _let_in(self, scope: Scope, caller: Caller, live: Callable[[], bool]) -> None:
        state = scope.setdefault("state", {})
        state["caller"] = caller
        state["live"] = live
        # A token may be called as neighbours are; it does not share their turns.
        kind = "neighbour" if caller is NEIGHBOUR else "token"
        state["turns"] = self._limits.of(f"{kind} {caller.name}")


def _unknown(scope: Scope, sentence: str, challenge: str) -> ASGIApp:
    return refusal(scope, 401, sentence, {"WWW-Authenticate": challenge})
