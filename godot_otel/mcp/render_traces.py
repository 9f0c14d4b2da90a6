"""Traces as an agent reads them: one row each."""

from __future__ import annotations

from typing import Any

from godot_otel import query
from godot_otel.mcp.render import (
    dumps,
    footer,
    header,
    marked,
    notes,
    stopped,
    whole_rows,
)
from godot_otel.query import sanitize
from godot_otel.query.sanitize import name

_ERROR_MAX = 200
_COMPONENTS_SHOWN = 8
DURATIONS = "durations are from a trace's first span or line to the end of its last"


def traces_text(page: query.Traces, *, sort: str) -> str:
    """The answer of logger_find_traces."""
    rows, cut = whole_rows(map(_row, page.traces))
    foot = footer(len(rows), _cursor(page, len(rows), cut), cut)
    hints = [*stopped(page.searched_to), *notes(page.notes)]
    if rows:
        hints += [DURATIONS]
        hints += [f'Next: logger_get_trace(trace_id="{page.traces[0].id}")']
    else:
        hints += ['Next: logger_find_traces(start_time="-1d"), or fewer filters']
    head = header(page.window(), page.given, sort)
    return "\n".join([head, *marked(rows), foot, page.ingest.sentence(), *hints])


def traces_json(page: query.Traces) -> str:
    """The same as one JSON object."""
    rows, cut = whole_rows(dumps(_shaped(one)) for one in page.traces)
    cursor = _cursor(page, len(rows), cut)
    rest = {
        "next_cursor": cursor,
        "window": page.window(),
        "truncated": cursor is not None,
        "ingest": sanitize.value(page.ingest.as_json()),
        "notes": sanitize.value(page.notes) + stopped(page.searched_to) + [DURATIONS],
    }
    return f'{{"traces":[{",".join(rows)}],{dumps(rest)[1:]}'


def _cursor(page: query.Traces, rows: int, cut: bool) -> str | None:
    return page.cursors[rows - 1] if cut and rows else page.next_cursor


def _row(one: query.Trace) -> str:
    facts = one.as_json()
    shown = ",".join(name(each, 40) for each in one.components[:_COMPONENTS_SHOWN])
    if len(one.components) > _COMPONENTS_SHOWN:
        shown += f",+{len(one.components) - _COMPONENTS_SHOWN}"
    parts = [one.id, facts["start"][:23] + "Z", f"{facts['duration_ms']} ms"]
    if root := one.root:
        begins = "" if root.arrived else "(no root) "
        parts.append(f"{begins}{name(root.service, 40)}: {name(root.name)}")
        parts += ["ERROR"] if root.failed else []
    if one.spans:
        parts.append(f"spans {one.spans} failed {one.span_errors}")
    parts += [f"lines {one.lines} errors {one.errors}", shown]
    if error := one.first_error:
        said = sanitize.line(" ".join(filter(None, [error.body, error.failure])))
        said = sanitize.shorten(said, _ERROR_MAX)
        parts.append(f"first error: {name(error.service, 40)} {said}")
    return " ".join(parts)


def _shaped(one: query.Trace) -> dict[str, Any]:
    """A trace's JSON with its long texts shortened after they are cleaned."""
    shaped: dict[str, Any] = sanitize.value(one.as_json())
    components = shaped["components"][:_COMPONENTS_SHOWN]
    shaped["components"] = [sanitize.shorten(each, 80) for each in components]
    shaped["omitted_components"] = len(one.components) - len(components)
    for part in ("first_error", "root"):
        for key, value in shaped.get(part, {}).items():
            if isinstance(value, str):
                shaped[part][key] = sanitize.shorten(value, _ERROR_MAX)
    return shaped
