"""The reading tools: what an agent may ask, and the shape of what it gets."""

# No `from __future__ import annotations`: the library reads these at run time.

from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, TextContent
from pydantic import Field

from godot_otel import query
from godot_otel.mcp import (
    render,
    render_difference,
    render_patterns,
    render_stats,
    render_traces,
    render_tree,
)

Store = Context[query.Reader, Any]
Format = Literal["text", "json"]
TraceId = Annotated[
    str,
    Field(description="32 hex digits, the first 8 or more, or a traceparent"),
]
Component = Annotated[str, Field(description="service name; trailing * = prefix")]
Level = Annotated[
    str, Field(description="minimum: TRACE, DEBUG, INFO, WARN, ERROR, FATAL")
]
Start = Annotated[
    str, Field(description="ISO 8601 with a zone, or -15m, -2h, -7d; default -1h")
]
End = Annotated[str, Field(description="like start_time")]
Search = Annotated[
    str,
    Field(description='whole words, all of them, any case; "quoted" = in a row'),
]
Where = Annotated[
    tuple[str, ...],
    Field(
        description="up to 8 on attributes: key=value key!=value key~regex key>n"
        " key<n 'key exists'; body~regex: the line itself"
    ),
]
Logger = Annotated[str, Field(description="trailing * = prefix")]
Cursor = Annotated[str, Field(description="next_cursor of the page before")]
MaxChars = Annotated[
    int, Field(ge=20, le=10_000, description="text: characters of a body")
]


async def logger_query(
    ctx: Store,
    trace_id: TraceId = "",
    component: Component = "",
    level: Level = "",
    start_time: Start = "",
    end_time: End = "now",
    search: Search = "",
    where: Where = (),
    logger: Logger = "",
    environment: str = "",
    version: str = "",
    limit: Annotated[int, Field(ge=1, le=query.MAX_LIMIT)] = 50,
    order: Annotated[
        Literal["newest", "oldest", "desc", "asc"], Field(description="by time")
    ] = "newest",
    cursor: Cursor = "",
    max_chars: MaxChars = 300,
    format: Format = "text",
    around: Annotated[
        int,
        Field(ge=0, description="#seq of a line: its neighbours of the same process"),
    ] = 0,
    follow: Annotated[
        bool, Field(description="wait for lines yet to come; go on with cursor")
    ] = False,
    wait_s: Annotated[float, Field(ge=0, le=query.MAX_WAIT)] = 10,
) -> str:
    """Find log lines by time, component, level, words or attributes.

    Without trace_id the last hour is searched; with one, everything that is kept. For
    one request across services use logger_get_trace, for what kinds of lines there are
    logger_patterns, for counts dewey_get_log_stats. A cut answer ends with next_cursor:
    repeat the same filters with cursor to go on. around=SEQ with limit=1 shows one
    line whole.
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
        default_since="" if around or follow else "-1h",
    )
    reader = ctx.request_context.lifespan_context
    if follow:
        if around:
            raise query.FilterError("around: not together with follow")
        page = await query.follow(
            reader, filters, wait=wait_s, limit=limit, cursor=cursor
        )
        order = "oldest"
    elif around:
        page = await query.around(reader, filters, around, limit=limit)
        if limit == 1 and format == "text":
            return _part(page, around, cursor)
        if cursor:
            raise query.FilterError("cursor: around has none; raise limit")
        order = "oldest"
    else:
        page = await query.logs(
            reader, filters, limit=limit, order=order, cursor=cursor
        )
    if format == "json":
        return render.lines_json(page)
    return render.lines_text(page, max_chars=max_chars, order=order)


def _part(page: query.Page, seq: int, cursor: str) -> str:
    text, end = render.whole_line(page, query.part_offset(seq, cursor))
    rest = None if end is None else query.part_cursor(seq, end)
    return f"{text}\n{render.footer(1, rest, False)}"


async def logger_get_trace(
    ctx: Store,
    trace_id: TraceId,
    span_id: Annotated[str, Field(description="only this span, whole")] = "",
    level: Level = "",
    limit: Annotated[int, Field(ge=1, le=query.MAX_LIMIT)] = 200,
    cursor: Cursor = "",
    max_chars: MaxChars = 300,
    format: Format = "text",
    compare_to: Annotated[
        str, Field(description="id of another trace: what differs")
    ] = "",
) -> str:
    """Show one trace: spans of all services as a tree, lines in place, errors first.

    Needs no time window. Without an id use logger_find_traces; to filter the lines
    further, logger_query(trace_id=...).
    """
    filters = query.parse(trace_id=trace_id, span_id=span_id, level=level)
    if filters.trace is None:
        raise query.FilterError("trace id: it is empty; write 8 or more hex digits")
    reader = ctx.request_context.lifespan_context
    if compare_to.strip():
        difference = await query.compare(reader, filters, compare_to)
        if format == "json":
            return render_difference.difference_json(difference)
        return render_difference.difference_text(difference)
    found = await query.trace(reader, filters, limit=limit, cursor=cursor, tree=True)
    if found.spans and format == "json":
        return render_tree.tree_json(found, span_id=span_id, limit=limit)
    if found.spans:
        return render_tree.tree_text(
            found, span_id=span_id, limit=limit, max_chars=max_chars
        )
    if format == "json":
        return render.trace_json(found)
    return render.trace_text(found, max_chars=max_chars)


async def logger_find_traces(
    ctx: Store,
    component: Component = "",
    level: Level = "",
    start_time: Start = "-1h",
    end_time: End = "now",
    search: Search = "",
    where: Where = (),
    logger: Logger = "",
    environment: str = "",
    version: str = "",
    operation: Annotated[str, Field(description="span name; trailing *")] = "",
    min_duration_ms: Annotated[float, Field(ge=0)] = 0,
    sort: Literal["recent", "slowest", "errors"] = "recent",
    limit: Annotated[int, Field(ge=1, le=200)] = 20,
    cursor: Cursor = "",
    format: Format = "text",
) -> str:
    """Find traces with a span or line that matches: root operation, duration, errors.

    level="ERROR" or sort="errors" finds requests that failed. Then show one with
    logger_get_trace. For single lines use logger_query.
    """
    filters = query.parse(
        component=component,
        operation=operation,
        level=level,
        since=start_time,
        until=end_time,
        search=search,
        where=where,
        logger=logger,
        environment=environment,
        version=version,
    )
    page = await query.traces(
        ctx.request_context.lifespan_context,
        filters,
        sort=sort,
        min_duration_ms=min_duration_ms,
        limit=limit,
        cursor=cursor,
    )
    if format == "json":
        return render_traces.traces_json(page)
    return render_traces.traces_text(page, sort=sort)


async def logger_patterns(
    ctx: Store,
    component: Component = "",
    level: Level = "WARN",
    start_time: Start = "-1h",
    end_time: End = "now",
    compare_to: Annotated[
        str, Field(description="previous, -1d (as long ago), or version:1.4.2")
    ] = "",
    search: Search = "",
    where: Where = (),
    logger: Logger = "",
    environment: str = "",
    version: str = "",
    limit: Annotated[int, Field(ge=1, le=100)] = 20,
    format: Format = "text",
) -> str:
    """Say what kinds of lines there are: count, share, services, first and last seen.

    Something broke? compare_to="previous" puts first what is new, gone, or x times as
    frequent. Each has a trace id for logger_get_trace. For the lines themselves use
    logger_query, for totals dewey_get_log_stats.
    """
    filters = query.parse(
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
    found = await query.patterns(
        ctx.request_context.lifespan_context,
        filters,
        compare_to=compare_to,
        limit=limit,
    )
    if format == "json":
        return render_patterns.patterns_json(found)
    return render_patterns.patterns_text(found)


async def dewey_get_log_stats(
    ctx: Store,
    component: Component = "",
    level: Level = "",
    start_time: Start = "-1h",
    end_time: End = "now",
    search: Search = "",
    where: Where = (),
    logger: Logger = "",
    environment: str = "",
    version: str = "",
    group_by: Annotated[
        str,
        Field(
            description="service, level, template, environment, version, an"
            " attribute's key, or operation: spans, errors, p50, p95"
        ),
    ] = "",
    bucket: Annotated[
        str, Field(description="also over time: 1m, 5m, 1h, or auto")
    ] = "",
    fields: Annotated[
        str,
        Field(
            description="true: the newest lines' attributes and their top values; a"
            " key: all of its"
        ),
    ] = "",
) -> Annotated[CallToolResult, dict[str, Any]]:
    """Count lines by level and component, and say how full and fresh the store is.

    Start here: it names the components that the others can ask for. For what the lines
    say use logger_patterns.
    """
    filters = query.parse(
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
    counted = await query.stats(
        ctx.request_context.lifespan_context,
        filters,
        group_by=group_by,
        bucket=bucket,
        fields=fields,
    )
    answer = render_stats.stats_answer(counted)
    return CallToolResult(
        content=[TextContent(type="text", text=render.dumps(answer))],
        structured_content=answer,
    )
