"""The reading tools: what an agent may ask, and the shape of what it gets."""

# No `from __future__ import annotations`: the library reads these at run time.

from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context
from pydantic import BaseModel, Field

from godot_otel import query
from godot_otel.mcp import render
from godot_otel.query import sanitize

Store = Context[query.Reader, Any]
Format = Annotated[
    Literal["text", "json"], Field(description="text for reading, json for programs")
]
TraceId = Annotated[
    str,
    Field(description="32 hex digits, their first 8 or more, or a traceparent"),
]
Component = Annotated[
    str, Field(description="service name; a trailing * matches its beginning")
]
Level = Annotated[
    str,
    Field(description="minimum: TRACE, DEBUG, INFO, WARN, ERROR or FATAL"),
]
Start = Annotated[
    str,
    Field(description="ISO 8601 with a zone, or -15m, -2h, -7d; default -1h"),
]
End = Annotated[str, Field(description="like start_time; default now")]
Cursor = Annotated[str, Field(description="next_cursor of the page before")]
MaxChars = Annotated[
    int,
    Field(ge=20, le=10_000, description="text format: characters of a line's body"),
]


async def logger_query(
    ctx: Store,
    trace_id: TraceId = "",
    component: Component = "",
    level: Level = "",
    start_time: Start = "",
    end_time: End = "now",
    search: Annotated[
        str,
        Field(description='whole words, all of them, any case; "quoted" in a row'),
    ] = "",
    where: Annotated[
        tuple[str, ...],
        Field(
            description="up to 8 conditions on attributes: key=value key!=value"
            " key~regex key>n key<n 'key exists'; body~regex: the line itself"
        ),
    ] = (),
    logger: Annotated[str, Field(description="logger name; trailing * allowed")] = "",
    environment: str = "",
    version: str = "",
    limit: Annotated[int, Field(ge=1, le=query.MAX_LIMIT)] = 50,
    order: Annotated[
        Literal["newest", "oldest", "desc", "asc"], Field(description="by time")
    ] = "newest",
    cursor: Cursor = "",
    max_chars: MaxChars = 300,
    format: Format = "text",
) -> str:
    """Find log lines by time, component, level, words or attributes.

    Without trace_id the last hour is searched; with one, everything that is kept. For
    one request across services use logger_get_trace; for counts dewey_get_log_stats.
    A cut answer ends with next_cursor: repeat the same filters with cursor to go on.
    """
    filters = query.parse(
        trace_id=trace_id,
        component=component,
        level=level,
        since=start_time,
        until=end_time,
        search=search,
        where=where,
        logger=logger,
        environment=environment,
        version=version,
    )
    reader = ctx.request_context.lifespan_context
    page = await query.logs(reader, filters, limit=limit, order=order, cursor=cursor)
    if format == "json":
        return render.lines_json(page)
    return render.lines_text(page, max_chars=max_chars, order=order)


async def logger_get_trace(
    ctx: Store,
    trace_id: TraceId,
    span_id: Annotated[str, Field(description="only lines of this span")] = "",
    level: Level = "",
    limit: Annotated[int, Field(ge=1, le=query.MAX_LIMIT)] = 200,
    cursor: Cursor = "",
    max_chars: MaxChars = 300,
    format: Format = "text",
) -> str:
    """Show one trace: the lines of all its services in time order, with offsets.

    Needs no time window. To filter the lines further use logger_query(trace_id=...).
    """
    filters = query.parse(trace_id=trace_id, span_id=span_id, level=level)
    if filters.trace is None:
        raise query.FilterError("trace id: it is empty; write 8 or more hex digits")
    reader = ctx.request_context.lifespan_context
    found = await query.trace(reader, filters, limit=limit, cursor=cursor)
    if format == "json":
        return render.trace_json(found)
    return render.trace_text(found, max_chars=max_chars)


class Window(BaseModel):
    """The minutes that were counted."""

    since: str | None
    until: str


class ComponentCounts(BaseModel):
    """One service in the window."""

    name: str
    levels: dict[str, int]
    last_seen: str | None


class IngestState(BaseModel):
    """The way into the store; null: could not be asked."""

    queue_depth: int | None
    queue_bytes: int | None
    capacity: int | None
    oldest_lag_s: float | None
    dropped_by_reason: dict[str, int]
    last_stored: str | None


class StorageState(BaseModel):
    """What the store holds."""

    partitions: int
    bytes: int
    oldest: str | None
    retention_days: int


class LogStats(BaseModel):
    """Counts of a window, and the state of queue and store."""

    window: Window
    levels: dict[str, int]
    components: list[ComponentCounts]
    omitted_components: int
    ingest: IngestState
    storage: StorageState
    notes: list[str]


async def dewey_get_log_stats(
    ctx: Store,
    component: Component = "",
    start_time: Start = "-1h",
    end_time: End = "now",
) -> LogStats:
    """Count lines by level and component, and say how full and fresh the store is.

    Start here: it names the components that logger_query(component=...) can ask for.
    """
    filters = query.parse(component=component, since=start_time, until=end_time)
    counted = await query.stats(ctx.request_context.lifespan_context, filters)
    return LogStats.model_validate(sanitize.value(counted.as_json()))
