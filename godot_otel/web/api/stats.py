"""``GET /api/stats``: counts, and how full and fresh the store is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from godot_otel import query
from godot_otel.web.api import parameters
from godot_otel.web.api.operation import Given, Operation, json_answer
from godot_otel.web.api.parameters import FILTERS, Parameter


async def _stats(reader: query.Reader, _: Request, given: Given) -> Response:
    counted = await query.stats(
        reader,
        query.parse(**parameters.filters(given)),
        group_by=given["group_by"],
        bucket=given["bucket"],
        fields=given["fields"],
    )
    return json_answer(counted.as_json())


STATS = Operation(
    "/stats",
    "Count lines by level and service or something else, or spans by operation; minutes"
    " count whole.",
    (
        *FILTERS,
        Parameter(
            "group_by", "service, level, template, environment, version, or an"
            " attribute's key; default service; or operation: spans are counted, by"
            " service and environment alone.",
        ),
        Parameter("bucket", "Also over time: 1m, 5m, 1h, or auto."),
        Parameter(
            "fields", "true: which attributes the newest lines have, with their top"
            " values; a key: the values of it.",
        ),
    ),
    {"application/json": ("Stats",)},
    _stats,
)  # fmt: skip # one row a parameter
