"""``GET /api/traces`` and ``/api/traces/{id}``: traces, and one with all it has."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from godot_otel import query
from godot_otel.query.traces import MAX_LIMIT, SORTS
from godot_otel.web.api import pages, parameters
from godot_otel.web.api.operation import Given, Operation, json_answer
from godot_otel.web.api.parameters import CURSOR, FILTERS, Parameter


async def _traces(reader: query.Reader, _: Request, given: Given) -> Response:
    page = await query.traces(
        reader,
        query.parse(**parameters.filters(given), operation=given["operation"]),
        errors=given["errors"],
        sort=given["sort"],
        min_duration_ms=given["min_duration_ms"],
        limit=given["limit"],
        cursor=given["cursor"],
    )
    return json_answer(pages.traces(page))


async def _trace(reader: query.Reader, request: Request, given: Given) -> Response:
    filters = query.parse(trace_id=request.path_params["trace_id"])
    if filters.trace is None:
        raise query.FilterError("trace id: it is empty; write 8 or more hex digits")
    if given["compare_to"].strip():
        difference = await query.compare(reader, filters, given["compare_to"])
        return json_answer(difference.as_json())
    limit, cursor = given["limit"], given["cursor"]
    if given["format"] == "otlp":
        records = await query.otlp(reader, filters, limit=limit, cursor=cursor)
        if not any(records.request.values()) and not cursor:
            found = await query.trace(reader, filters, limit=1)
            return _none(found.page)
        return json_answer(records.request, headers=_next(records.next_cursor, limit))
    found = await query.trace(reader, filters, limit=limit, cursor=cursor)
    if found.trace is None:
        return _none(found.page)
    return json_answer(pages.trace(found))


def _none(page: query.Page) -> Response:
    said = {"error": "no lines of such a trace", "notes": page.notes}
    return json_answer(said, 404)


def _next(cursor: str | None, limit: int) -> dict[str, str]:
    """Where a document goes on that has no place for a cursor of ours (RFC 8288)."""
    if cursor is None:
        return {}
    query_ = urlencode({"format": "otlp", "limit": limit, "cursor": cursor})
    return {"Link": f'<?{query_}>; rel="next"'}


TRACES = Operation(
    "/traces",
    "Find traces with a span or a line that matches, the newest first.",
    (
        *FILTERS,
        Parameter("operation", "Name of a span; a trailing * matches its beginning."),
        Parameter("errors", "Only traces with an error.", False),
        Parameter(
            "sort", "By the newest span or line, by duration, or by errors.", "recent",
            choices=SORTS,
        ),
        Parameter(
            "min_duration_ms", "From a trace's first span or line to the end of its"
            " last; with operation, of its span.", 0.0,
        ),
        parameters.limit(20, MAX_LIMIT),
        CURSOR,
    ),
    {"application/json": ("Traces",)},
    _traces,
)  # fmt: skip # one row a parameter

TRACE = Operation(
    "/traces/{trace_id}",
    "One trace: its spans and, a page at a time, its lines, each in time order; or as"
    " OTLP/JSON what came in; or what differs from another.",
    (
        Parameter(
            "format", "json: rows; otlp: what came in, whole, as the resourceLogs and"
            " resourceSpans of requests; where it goes on is in the header Link.",
            "json", choices=("json", "otlp"),
        ),
        Parameter("compare_to", "Another trace's id: what differs from it."),
        parameters.limit(1000),
        CURSOR,
    ),
    {"application/json": ("TraceLines", "Otlp", "Difference")},
    _trace,
)  # fmt: skip # one row a parameter
