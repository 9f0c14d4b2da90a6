"""The tool that changes running applications; it exists with ``--allow-control``."""

# No `from __future__ import annotations`: the library reads these at run time.

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import anyio.to_thread
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

from godot_otel import audit, override
from godot_otel.access import CONTROL
from godot_otel.errors import GodotError, SettingError
from godot_otel.levels import Instance, level_name
from godot_otel.mcp.authority import Authority
from godot_otel.mcp.strict import StrictTool, tool
from godot_otel.query import rfc3339
from godot_otel.queue import Producer

WAIT_SECONDS = 5.0
_CHANGES = ToolAnnotations(
    read_only_hint=False,
    destructive_hint=True,
    idempotent_hint=True,
    open_world_hint=False,
)


class LevelSet(BaseModel):  # noqa: D101 # agents would pay for it
    component: str
    old: str
    new: str
    ends_at: str
    applied_to: int
    instances: int


@dataclass(frozen=True, slots=True)
class _Change:
    target: str
    level: str | None
    """None: reset."""
    ttl: float


class Control:
    """Sets levels for a while, by the level board beside the queue."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def tools(self) -> list[StrictTool]:
        """The tool of this file."""
        return [
            tool(
                self.logger_set_level, title="Change a log level", structured=True,
                scope=CONTROL, annotations=_CHANGES, authority=self._authority,
            )
        ]  # fmt: skip # what makes a tool

    async def logger_set_level(
        self,
        ctx: Context[Any, Any],
        component: Annotated[str, Field(description="service name, or SERVICE/LOGGER")],
        level: Annotated[
            str, Field(description="TRACE DEBUG INFO WARN ERROR FATAL, or RESET")
        ],
        ttl: Annotated[str, Field(description="when it ends, 1s to 7d")] = ("1h"),
    ) -> LevelSet:
        """Change what a running service logs, until ttl is over or RESET.

        Waits up to 5 s for its instances. Low levels fill the store: keep ttl short.
        """
        change = _read(component, level, ttl)
        url = self._authority.redis_url()
        deed: Callable[..., audit.Deed] = lambda outcome, detail: audit.Deed(  # noqa: E731
            self._authority.caller(ctx).name, "logger_set_level", outcome,
            {"component": component, "level": level, "ttl": ttl}, detail,
        )  # fmt: skip # who, what, what came of it
        # Not given up half-way: what was set must be told.
        with anyio.CancelScope(shield=True):
            try:
                done = await anyio.to_thread.run_sync(_apply, url, change)
            except GodotError as error:
                await self._authority.note(deed("failed", {"error": str(error)}))
                raise
            await self._authority.note(deed("done", done.model_dump()))
        return done


def _read(component: str, level: str, ttl: str) -> _Change:
    try:
        target = override.target(component.strip())
        reset = level.strip().upper() == "RESET"
        name = None if reset else level_name(level.strip())
        return _Change(target, name, override.seconds(ttl.strip()))
    except ValueError as error:
        raise SettingError(str(error)) from None


def _apply(url: str, change: _Change) -> LevelSet:
    """Change the level and wait for the instances; synchronous."""
    producer = Producer(url)
    try:
        found = override.hearing(producer, change.target)
        holding = producer.levels().levels
        if not found and (change.level or change.target not in holding):
            said = override.unknown(change.target, override.running(producer))
            raise SettingError(f"{said}; nothing was set")
        before = holding.get(change.target, (_exported(change.target, found), 0.0))[0]
        ends = None
        if change.level is None:
            producer.reset_level(change.target)
        else:
            ends = datetime.now(UTC) + timedelta(seconds=change.ttl)
            producer.set_level(change.target, change.level, change.ttl)
        timeout = min(WAIT_SECONDS, change.ttl)
        found, late = override.wait(producer, change.target, change.level, timeout)
        return LevelSet(
            component=change.target,
            old=before,
            new=change.level or _exported(change.target, found),
            ends_at=rfc3339(ends) if ends else "",
            applied_to=len(found) - len(late),
            instances=len(found),
        )
    finally:
        producer.close()


def _exported(target: str, found: list[Instance]) -> str:
    """What a component's instances export, where they say so and agree."""
    levels = {one.level for one in found if one.service == target}
    return levels.pop() if len(levels) == 1 else ""
