"""``GET /api/patterns``: what kinds of lines there are, and what is new."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from godot_otel import query
from godot_otel.query.patterns import MAX_LIMIT
from godot_otel.web.api import pages, parameters
from godot_otel.web.api.operation import Given, Operation, dumps, json_answer
from godot_otel.web.api.parameters import FILTERS, Parameter


async def _patterns(reader: query.Reader, _: Request, given: Given) -> Response:
    found = await query.patterns(
        reader,
        query.parse(**parameters.filters(given)),
        compare_to=given["compare_to"],
        limit=given["limit"],
    )
    rows = pages.fitting(dumps(one.as_json()) for one in found.patterns)
    facts = found.facts()
    facts["omitted_patterns"] += len(found.patterns) - len(rows)
    return json_answer(pages.joined(rows, facts))


PATTERNS = Operation(
    "/patterns",
    "Count kinds of lines, with the newest line of each; minutes count whole.",
    (
        *FILTERS,
        Parameter(
            "compare_to", "previous, -1d (as long ago) or version:1.4.2: what is new,"
            " gone or x times as frequent comes first.",
        ),
        parameters.limit(20, MAX_LIMIT),
    ),
    {"application/json": ("Patterns",)},
    _patterns,
)  # fmt: skip # one row a parameter
