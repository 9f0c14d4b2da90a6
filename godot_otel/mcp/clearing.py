"""The tool that deletes; it exists with ``--allow-clear`` alone."""

# No `from __future__ import annotations`: the library reads these at run time.

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any

import psycopg
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

from godot_otel import clear, store
from godot_otel.access import CLEAR
from godot_otel.mcp import confirm
from godot_otel.mcp.authority import Authority
from godot_otel.mcp.strict import StrictTool, tool
from godot_otel.query import rfc3339, sanitize

SECONDS = 15.0  # that one call deletes; below the tools' deadline
MAX_COMPONENTS = 50
_DELETES = ToolAnnotations(
    read_only_hint=False,
    destructive_hint=True,
    idempotent_hint=True,
    open_world_hint=False,
)


class ClearResult(BaseModel):  # noqa: D101 # agents would pay for it
    deleted: bool
    before: str
    lines: int
    levels: dict[str, int]
    components: dict[str, dict[str, int]]
    confirm_token: str
    note: str


class Clearing:
    """Shows what would go, and deletes it when that is confirmed."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._used: dict[str, float] = {}
        """Confirm tokens, and when each was used."""

    def tools(self) -> list[StrictTool]:
        """The tool of this file."""
        return [
            tool(
                self.logger_clear, title="Delete log lines", structured=True,
                scope=CLEAR, annotations=_DELETES, authority=self._authority,
            )
        ]  # fmt: skip # what makes a tool

    async def logger_clear(
        self,
        ctx: Context[Any, Any],
        before_time: Annotated[
            str,
            Field(description="ISO 8601 or -7d; at least 1h ago"),
        ] = "-7d",
        component: Annotated[
            str, Field(description="service name; trailing * allowed")
        ] = "",
        level: Annotated[str, Field(description="exactly this one")] = "",
        confirm_token: Annotated[str, Field(description="from the preview")] = "",
    ) -> ClearResult:
        """Delete log lines for good, in two calls.

        The first shows counts and gives a confirm_token, valid for 5 minutes; the same
        call with it deletes. Ask a person first.
        """
        choice = clear.choose(before_time, component, level)
        caller = self._authority.caller(ctx).name
        shown = (before_time, component, level, caller)
        async with self._owner() as connection:
            if not confirm_token.strip():
                counts = await clear.count(connection, choice)
                token = ""
                note = "nothing is older, or of that component or level"
                if counts:
                    token = confirm.token(self._authority.key, choice.before, *shown)
                    note = "nothing is deleted yet: repeat this call with confirm_token"
                return _result(choice, counts, deleted=False, token=token, note=note)
            moment = confirm.before(self._authority.key, confirm_token, *shown)
            self._use(confirm_token.strip())
            choice = replace(choice, before=moment)
            done = await clear.clear(connection, choice, caller=caller, seconds=SECONDS)
            token, note = "", "all of it is deleted"
            if not done.finished:
                token = confirm.token(self._authority.key, choice.before, *shown)
                note = "more is left: repeat this call with the new confirm_token"
            return _result(choice, done.counts, deleted=True, token=token, note=note)

    def _use(self, token: str) -> None:
        """Refuse a token the second time: lines may have come that nobody was shown."""
        now = time.monotonic()
        self._used = {
            one: at for one, at in self._used.items() if now - at < confirm.LIFETIME
        }
        if token in self._used:
            raise confirm.ConfirmError(
                "confirm_token: it was used; call without it to see what is left"
            )
        self._used[token] = now

    @asynccontextmanager
    async def _owner(self) -> AsyncIterator[store.Connection]:
        try:
            async with await store.connect(self._authority.owner_dsn()) as connection:
                await store.check_schema(connection)
                yield connection
        except psycopg.Error as error:
            raise store.refusal(error) from None


def _result(
    choice: clear.Choice, counts: clear.Counts, *, deleted: bool, token: str, note: str
) -> ClearResult:
    ranked = sorted(
        counts.components.items(), key=lambda one: (-sum(one[1].values()), one[0])
    )
    named = {
        sanitize.shorten(sanitize.line(name), 80): levels
        for name, levels in ranked[:MAX_COMPONENTS]
    }
    if counts.spans:  # in words: a field of the result costs each session
        note += f"; {counts.spans} spans of that time go with the lines"
    if omitted := len(ranked) - len(named):
        note += f"; {omitted} components more are not listed"
    return ClearResult(
        deleted=deleted,
        before=rfc3339(choice.before),
        lines=counts.lines,
        levels=counts.levels,
        components=named,
        confirm_token=token,
        note=note,
    )
