"""``GET /api/logs``: lines by filters, a page at a time or as they come."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from godot_otel import query
from godot_otel.query import FilterError
from godot_otel.web.api import pages, parameters
from godot_otel.web.api.follow import Follow
from godot_otel.web.api.operation import Given, Operation, json_answer
from godot_otel.web.api.parameters import CURSOR, FILTERS, Parameter

_NOT_FOLLOWED = ("since", "until", "order", "limit")


async def _answer(reader: query.Reader, request: Request, given: Given) -> Response:
    if given["follow"]:
        return await _follow(reader, request, given)
    page = await query.logs(
        reader,
        query.parse(**parameters.filters(given)),
        limit=given["limit"],
        order=given["order"],
        cursor=given["cursor"],
    )
    return json_answer(pages.lines(page))


async def _follow(reader: query.Reader, request: Request, given: Given) -> Response:
    for name in _NOT_FOLLOWED:
        if name in request.query_params:
            raise FilterError(f"{name}: not with follow, which gives what is to come")
    filters = query.parse(**parameters.filters(given))
    # What an EventSource sends when it connects again goes before the address.
    last = request.headers.get("last-event-id", "") or given["cursor"]
    return await Follow.begin(reader, request, filters, last)


LOGS = Operation(
    "/logs",
    "Find log lines, newest first, or follow them as server-sent events.",
    (
        *FILTERS,
        parameters.limit(100),
        Parameter("order", "By time.", "newest", choices=("newest", "oldest")),
        CURSOR,
        Parameter(
            "follow", "Stream the lines to come as server-sent events, in the order in"
            " which they were stored: data is a row, id a cursor that Last-Event-ID or"
            " cursor takes. Not with since, until, order and limit.", False,
        ),
    ),
    {"application/json": ("Lines",), "text/event-stream": ("Line",)},
    _answer,
)  # fmt: skip # one row a parameter
