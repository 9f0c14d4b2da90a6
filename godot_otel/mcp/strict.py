"""A tool that refuses what it does not understand, in words an agent can act on.

The library ignores unknown arguments and echoes rejected values; this does neither.
It is also the one place where errors become texts for a model.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
from collections.abc import Callable
from typing import Any

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import ToolAnnotations
from pydantic import ConfigDict, Field, ValidationError

from godot_otel.access import READ
from godot_otel.errors import GodotError
from godot_otel.mcp.authority import Authority
from godot_otel.query import sanitize
from godot_otel.rate import RateLimitError, Turns

DEADLINE = 40.0  # seconds; a statement's timeout and a follower's wait are below it
_RENAMED = {"since:": "start_time:", "until:": "end_time:", "trace id:": "trace_id:"}

READS = ToolAnnotations(
    read_only_hint=True,
    destructive_hint=False,
    idempotent_hint=True,
    open_world_hint=False,
)


class StrictTool(Tool):
    """A tool whose arguments are exactly those of its schema."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    authority: Authority = Field(exclude=True, repr=False)
    scope: str = READ
    """What a caller needs to have."""

    async def run(
        self,
        arguments: dict[str, Any],
        context: Context[Any, Any],
        convert_result: bool = False,
    ) -> Any:
        """Run; every failure that the caller can act on is a ToolError with its text.

        Anything else reaches the caller by the tool's name alone.
        """
        try:
            with _turn(context), anyio.fail_after(DEADLINE):
                await self.authority.check(context, self.name, self.scope, arguments)
                self._check(arguments)
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


def _bare(schema: Any) -> Any:
    """A JSON schema without the titles that repeat its names: agents pay for them."""
    if isinstance(schema, list):
        return [_bare(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    bare = {name: one for name, one in schema.items() if name != "title"}
    for name, one in bare.items():
        if name in ("properties", "$defs"):
            bare[name] = {key: _bare(inner) for key, inner in one.items()}
        elif name != "default":
            bare[name] = _bare(one)
    return bare


def tool(
    function: Callable[..., Any],
    *,
    title: str,
    structured: bool,
    scope: str = READ,
    annotations: ToolAnnotations = READS,
    authority: Authority | None = None,
) -> StrictTool:
    """Make a strict tool of *function*, one that reads unless said otherwise.

    The function's docstring is the description.
    """
    made = Tool.from_function(
        function, title=title, annotations=annotations, structured_output=structured
    )
    facts = {name: getattr(made, name) for name in Tool.model_fields}
    facts["description"] = inspect.cleandoc(made.description)
    facts["parameters"] = {**_bare(made.parameters), "additionalProperties": False}
    if made.fn_metadata.output_schema is not None:
        made.fn_metadata.output_schema = _bare(made.fn_metadata.output_schema)
    return StrictTool(**facts, scope=scope, authority=authority or Authority())
