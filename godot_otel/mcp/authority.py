"""What a server was started to allow, who calls, and where calls that write lead.

Reading has a way of its own (``query.Reader``); this is for what changes something.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

from godot_otel import audit, settings, state
from godot_otel.access import READ, Caller
from godot_otel.errors import SettingError


class Authority:
    """The scopes of one server; each call looks anew where queue and store are.

    Without *redis_url* and *dsn* (the store as its owner), as ``query.Reader``.
    """

    def __init__(
        self,
        scopes: Iterable[str] = (),
        *,
        redis_url: str | None = None,
        dsn: str | None = None,
        data_dir: Path | None = None,
    ) -> None:
        self.scopes = frozenset({READ, *scopes})
        self.key = secrets.token_bytes(32)
        """Signs what this process has shown and will be told again."""
        self._redis_url = redis_url
        self._dsn = dsn
        self._data_dir = data_dir

    def caller(self, context: Context[Any, Any]) -> Caller:
        """Who calls: over HTTP whom the middleware let in, else who started us.

        Over HTTP nothing but reading is anybody's.
        """
        request = context.request_context.request
        if request is None:
            return Caller("stdio", self.scopes)
        known = getattr(request.state, "caller", None)
        return known if isinstance(known, Caller) else Caller("http", frozenset({READ}))

    def redis_url(self) -> str:
        """Find the queue; raise SettingError where there is none."""
        found = self._redis_url or state.find("redis_url", data_dir=self._data_dir)
        return found or self._nothing("GODOT_REDIS_URL")

    def owner_dsn(self) -> str:
        """Find the store as its owner; raise SettingError where there is none."""
        found = self._dsn or state.find("postgres_dsn", data_dir=self._data_dir)
        return found or self._nothing("GODOT_POSTGRES_DSN")

    def _nothing(self, env: str) -> str:
        where = self._data_dir or settings.data_dir()
        raise SettingError(
            f"nothing runs in {where} and {env} is not set: start everything with"
            " `godot-otel up`"
        )

    async def note(self, deed: audit.Deed) -> None:
        """Add to the audit, where the store answers to one who may add."""
        names = "postgres_writer_dsn", "postgres_dsn"
        dsn = self._dsn or state.find(*names, data_dir=self._data_dir)
        await audit.note(dsn, deed)

    async def check(
        self,
        context: Context[Any, Any],
        tool: str,
        scope: str,
        arguments: dict[str, Any],
    ) -> Caller:
        """Return who calls *tool*; raise ToolError, audited, for one who may not."""
        caller = self.caller(context)
        if scope in caller.scopes:
            return caller
        if scope != READ:
            await self.note(audit.Deed(caller.name, tool, "refused", arguments))
        raise ToolError(
            f"{tool}: needs the scope {scope}: over HTTP, a token that has it"
            " (`godot-otel token create`)"
        )
