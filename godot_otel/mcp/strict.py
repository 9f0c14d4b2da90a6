"""A tool that refuses what it does not understand, in words an agent can act on.

The library ignores unknown arguments and echoes rejected values; this does neither.
It is also the one place where errors become texts for a model.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable
from typing import Any

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import ToolAnnotations
from pydantic import ValidationError

from godot_otel.errors import GodotError
from godot_otel.query import sanitize
from godot_otel.rate import RateLimitError, Turns

DEADLINE = 25.0  # seconds; the store's own statement timeout is below it
_RENAMED = {"since:": "start_time:", "until:": "end_time:", "trace id:": "trace_id:"}

READS = ToolAnnotations(
    read_only_hint=True,
    destructive_hint=False,
    idempotent_hint=True,
    open_world_hint=False,
)


class StrictTool(Tool):
    """A tool whose arguments are exactly those of its schema."""

    async def run(
        self,
        arguments: dict[str, Any],
        context: Context[Any, Any],
        convert_result: bool = False,
    ) -> Any:
        """Run; every failure that the caller can act on is a ToolError with its text.

        Anything else reaches the caller by the tool's name alone.
        """
        self._check(arguments)
        try:
            with _turn(context), anyio.fail_after(DEADLINE):
                return await super().run(arguments, context, convert_result)
        except RateLimitError as error:
            raise ToolError(f"{self.name}: {error}") from None
        except TimeoutError:
            raise ToolError(
                f"{self.name}: took longer than {DEADLINE:.0f} s; narrow the window"
            ) from None
        except ToolError as error:
            if isinstance(error.__cause__, GodotError | ToolError):
                text = sanitize.line(str(error.__cause__))
                raise ToolError(f"{self.name}: {_renamed(text)}") from None
            raise

    def _check(self, arguments: dict[str, Any]) -> None:
        known = list(self.parameters.get("properties", {}))
        if unknown := [name for name in arguments if name not in known]:
            name = sanitize.shorten(sanitize.line(unknown[0]), 80)
            near = difflib.get_close_matches(name, known, 1)
            hint = f", did you mean {near[0]!r}?" if near else "."
            raise ToolError(
                f"{self.name}: unknown parameter {name!r}{hint}"
                f" Accepted: {', '.join(known)}"
            )
        try:
            self.fn_metadata.validate_arguments(arguments)
        except ValidationError as error:
            found = [
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
                for one in error.errors()[:5]
            ]
            raise ToolError(f"{self.name}: {sanitize.line('; '.join(found))}") from None


def _turn(context: Context[Any, Any]) -> contextlib.AbstractContextManager[None]:
    """A turn of the caller's over HTTP; on stdio there is one caller, and no limit."""
    request = context.request_context.request
    turns = getattr(getattr(request, "state", None), "turns", None)
    return turns.take() if isinstance(turns, Turns) else contextlib.nullcontext()


def _renamed(text: str) -> str:
    for ours, theirs in _RENAMED.items():
        if text.startswith(ours):
            return theirs + text.removeprefix(ours)
    return text


def tool(function: Callable[..., Any], *, title: str, structured: bool) -> StrictTool:
    """Make a strict reading tool of *function*; its docstring is the description."""
    made = StrictTool.from_function(
        function, title=title, annotations=READS, structured_output=structured
    )
    assert isinstance(made, StrictTool)
    made.parameters = {**made.parameters, "additionalProperties": False}
    return made
