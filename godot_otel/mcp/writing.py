"""The tools that write lines; they exist with ``--allow-write`` alone."""

# No `from __future__ import annotations`: the library reads these at run time.

from collections.abc import Sequence
from typing import Annotated, Any

import anyio.to_thread
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

from godot_otel import audit, queue, settings
from godot_otel.access import WRITE
from godot_otel.errors import GodotError, QueueFullError, RetryableError
from godot_otel.mcp import records
from godot_otel.mcp.authority import Authority
from godot_otel.mcp.strict import StrictTool, tool
from godot_otel.query import FilterError, sanitize
from godot_otel.redact import Redactor

MAX_LINES = 1000
_ADDS = ToolAnnotations(
    read_only_hint=False,
    destructive_hint=False,
    idempotent_hint=False,
    open_world_hint=False,
)
_NO_DATA: dict[str, Any] = {}
Caller = Context[Any, Any]


class Logged(BaseModel):  # noqa: D101 # agents would pay for it
    accepted: int
    rejected: list[str]
    trace_id: str


class Rejected(BaseModel):  # noqa: D101 # likewise
    index: int
    reason: str


class Stored(BaseModel):  # noqa: D101 # likewise
    accepted: int
    rejected: list[Rejected]


class Writing:
    """Takes lines into the queue; once a call returns, the queue has them."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._redactor = Redactor(settings.value("redact_keys"))

    def tools(self) -> list[StrictTool]:
        """The tools of this file, in the order of listing."""
        return [
            tool(
                function, title=title, structured=True,
                scope=WRITE, annotations=_ADDS, authority=self._authority,
            )
            for function, title in (
                (self.logger_log, "Write a log line"),
                (self.dewey_store_logs_batch, "Write many log lines"),
            )
        ]  # fmt: skip # what makes a tool

    async def logger_log(
        self,
        ctx: Caller,
        component: Annotated[str, Field(description="service name")],
        level: Annotated[str, Field(description="TRACE DEBUG INFO WARN ERROR FATAL")],
        message: Annotated[str, Field(description="at most 64 KiB")],
        trace_id: Annotated[
            str,
            Field(description="32 hex digits; default: this call's"),
        ] = "",
        data: Annotated[
            dict[str, Any], Field(description="attributes, at most 16 KiB")
        ] = _NO_DATA,
    ) -> Logged:
        """Write one log line, marked source=mcp; for more, dewey_store_logs_batch."""
        line = {"component": component, "level": level, "message": message}
        given = {**line, "trace_id": trace_id, "data": data}
        about = {"component": component, "level": level, "bytes": len(message)}
        made, rejected = self._records(ctx, [given])
        if rejected:
            raise FilterError(rejected[0].reason)
        await self._send(ctx, made, "logger_log", about)
        return Logged(accepted=1, rejected=[], trace_id=made[0].line.trace_id.hex())

    async def dewey_store_logs_batch(
        self,
        ctx: Caller,
        logs: Annotated[
            list[dict[str, Any]],
            Field(
                min_length=1,
                max_length=MAX_LINES,
                description="component, level, message; optional trace_id, span_id,"
                " timestamp (ISO 8601), data (attributes); 4 MiB in all",
            ),
        ],
    ) -> Stored:
        """Write log lines, marked source=mcp; each is taken or rejected by itself."""
        made, rejected = self._records(ctx, logs)
        about = {"lines": len(logs), "invalid": len(rejected)}
        if made:
            rejected += await self._send(ctx, made, "dewey_store_logs_batch", about)
        rejected.sort(key=lambda one: one.index)
        return Stored(accepted=len(logs) - len(rejected), rejected=rejected)

    def _records(
        self, ctx: Caller, given: Sequence[Any]
    ) -> tuple[list[records.Record], list[Rejected]]:
        parent = str((ctx.request_context.meta or {}).get("traceparent") or "")
        caller = self._authority.caller(ctx).name
        made: list[records.Record] = []
        rejected: list[Rejected] = []
        for index, one in enumerate(given):
            try:
                made.append(
                    records.record(
                        one, index, parent=parent, caller=caller,
                        redactor=self._redactor,
                    )
                )  # fmt: skip # whose it is
            except FilterError as error:
                reason = sanitize.shorten(sanitize.line(str(error)), 200)
                rejected.append(Rejected(index=index, reason=reason))
        return made, rejected

    async def _send(
        self,
        ctx: Caller,
        made: list[records.Record],
        action: str,
        about: dict[str, Any],
    ) -> list[Rejected]:
        """Hand lines to the queue; return those that it did not take.

        Raises:
            GodotError: it took none.
        """
        url = self._authority.redis_url()
        entries = records.entries(made)
        # Not given up half-way: what was sent must be told.
        with anyio.CancelScope(shield=True):
            taken, error = await anyio.to_thread.run_sync(_admit, url, entries)
            left = [index for _, indexes in entries[taken:] for index in indexes]
            await self._authority.note(
                audit.Deed(
                    self._authority.caller(ctx).name,
                    action,
                    "done" if taken else "failed",
                    about,
                    {"accepted": len(made) - len(left)}
                    | ({"error": str(error)} if error else {}),
                )
            )
        if error is None:
            return []
        if not taken:
            raise error
        return [Rejected(index=index, reason=str(error)) for index in left]


def _admit(
    url: str, entries: list[tuple[queue.Entry, list[int]]]
) -> tuple[int, GodotError | None]:
    """Send entries in their order; return how many the queue has, and what ended it."""
    taken = 0
    producer = queue.Producer(url)
    try:
        for entry, _ in entries:
            try:
                producer.admit(entry)
            except QueueFullError:
                raise
            except RetryableError:  # it may be there: the same id makes it one
                producer.admit(entry)
            taken += 1
    except QueueFullError as error:
        return taken, QueueFullError(f"{error}; not stored, write again later")
    except GodotError as error:
        return taken, RetryableError(f"{error}; not stored as far as is known")
    finally:
        producer.close()
    return taken, None
