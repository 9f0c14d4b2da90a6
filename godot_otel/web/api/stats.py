"""``GET /api/stats``: counts, and how full and fresh the store is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from godot_otel import query
from godot_otel.web.api import parameters
from godot_otel.web.api.operation import Given, Operation, json_answer
from godot_otel.web.api.parameters import ENVIRONMENT, LEVEL, SERVICE, SINCE, UNTIL


async def _stats(reader: query.Reader, _: Request, given: Given) -> Response:
    filters = query.parse(**parameters.filters(given))
    return json_answer((await query.stats(reader, filters)).as_json())


STATS = Operation(
    "/stats",
    "Count lines by level and service; minutes count whole.",
    (SERVICE, ENVIRONMENT, LEVEL, SINCE, UNTIL),
    {"application/json": ("Stats",)},
    _stats,
)
