"""Lines as an agent reads them: whole rows within a budget, marked as untrusted."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from godot_otel import query
from godot_otel.query import sanitize

BUDGET = 40_000  # characters of a result; clients cut or set aside more than 50,000
_RESERVED = 4_000  # of them for header, footer and hints
_NAME_MAX = 80
_ROW_MAX = BUDGET - _RESERVED - 2_000

_FILTER_NAMES = {"since": "start_time", "until": "end_time"}


def lines_text(page: query.Page, *, max_chars: int, order: str) -> str:
    """The answer of logger_query."""
    rows, cut = whole_rows((_row(one, max_chars) for one in page.lines), 1)
    cursor = page.cursor_after(page.lines[len(rows) - 1]) if cut else page.next_cursor
    hints = [*_stopped(page), *(sanitize.line(note) for note in page.notes)]
    hints += _next_steps(page.lines[: len(rows)])
    if not rows:
        hints.append("Next: dewey_get_log_stats() names components, or start_time=-1d")
    footer = _footer(len(rows), cursor, cut)
    return "\n".join(
        [header(page, order), *marked(rows), footer, page.ingest.sentence(), *hints]
    )


def lines_json(page: query.Page) -> str:
    """The same lines as one JSON object, in the shape every door shares."""
    now = datetime.now(UTC)
    shaped = (_fitting(sanitize.value(one.as_json(now))) for one in page.lines)
    rows, cut = whole_rows(map(_dumps, shaped), 1)
    cursor = page.cursor_after(page.lines[len(rows) - 1]) if cut else page.next_cursor
    rest = {
        "next_cursor": cursor,
        "window": page.window(),
        "truncated": cursor is not None,
        "ingest": sanitize.value(page.ingest.as_json()),
        "notes": sanitize.value(page.notes) + _stopped(page),
    }
    return f'{{"rows":[{",".join(rows)}],{_dumps(rest)[1:]}'


def trace_text(found: query.TraceLines, *, max_chars: int) -> str:
    """The answer of logger_get_trace."""
    trace, page = found.trace, found.page
    if trace is None:
        return "\n".join(
            [
                "no lines of such a trace",
                *(sanitize.line(note) for note in page.notes),
                "Next: logger_query(level=ERROR) lists lines with their trace ids",
            ]
        )
    rows, cut = whole_rows((_row(one, max_chars, trace.first) for one in page.lines), 1)
    cursor = page.cursor_after(page.lines[len(rows) - 1]) if cut else page.next_cursor
    facts = trace.as_json()
    head = (
        f"trace {trace.id}  {facts['start']}  {facts['duration_ms']} ms"
        f"  lines {trace.lines} ({len(rows)} shown)  errors {trace.errors}"
    )
    components = ", ".join(_name(one) for one in trace.components[:50])
    inside = [f"components: {components}"]
    if found.first_error:
        inside.append("first error: " + _row(found.first_error, max_chars, trace.first))
    hints = [*_stopped(page), *(sanitize.line(note) for note in page.notes)]
    footer = _footer(len(rows), cursor, cut)
    return "\n".join(
        [head, *marked([*inside, *rows]), footer, page.ingest.sentence(), *hints]
    )


def trace_json(found: query.TraceLines) -> str:
    """The same as one JSON object."""
    trace = sanitize.value(found.trace.as_json()) if found.trace else None
    return f'{{"trace":{_dumps(trace)},{lines_json(found.page)[1:]}'


def header(page: query.Page, order: str) -> str:
    """The effective window and filters."""
    window = page.window()
    said = f"window {window['since'] or 'all that is kept'} .. {window['until']}"
    filters = [
        f"{_FILTER_NAMES.get(name, name)}={sanitize.line(value)[:200]!r}"
        for name, value in page.given.items()
        if name not in ("since", "until")
    ]
    if "since" not in page.given and "trace_id" not in page.given:
        said += " (default start_time=-1h)"
    return f"{said}  order {order}  filters {' '.join(filters) or 'none'}"


def whole_rows(texts: Iterable[str], separator: int) -> tuple[list[str], bool]:
    """As many whole rows as the budget holds; whether some were left out."""
    rows: list[str] = []
    left = BUDGET - _RESERVED
    for text in texts:
        left -= len(text) + separator
        if left < 0:
            return rows, True
        rows.append(text)
    return rows, False


def marked(rows: list[str]) -> list[str]:
    """Rows between marks that nobody who wrote them could know."""
    if not rows:
        return []
    mark = secrets.token_hex(4)
    return [f"<untrusted-logs id={mark}>", *rows, f"</untrusted-logs id={mark}>"]


def _row(one: query.Line, max_chars: int, start: datetime | None = None) -> str:
    if start is None:
        when = query.rfc3339(one.time, one.nanos)
        trace = one.trace_id[:8] if one.trace_id else "-"
    else:
        when = f"+{(one.time - start) / timedelta(milliseconds=1):.1f}ms"
        trace = one.span_id or "-"
    body = sanitize.shorten(sanitize.line(one.body), max_chars)
    parts = [when, one.level or "-", _name(one.service), _name(one.logger), trace, body]
    if one.failure:
        parts.append(sanitize.shorten(sanitize.line(one.failure), max_chars))
    if told := one.told:
        attributes = sanitize.line(_dumps(sanitize.value(told)))
        parts.append(sanitize.shorten(attributes, max_chars))
    if one.stack:  # what failed is said at its end
        stack = sanitize.shorten_front(sanitize.line(one.stack), max_chars)
        parts.append(f"stack: {stack}")
    return " ".join(parts)


def _name(text: str) -> str:
    return sanitize.shorten(sanitize.line(text), _NAME_MAX) or "-"


def _fitting(row: dict[str, Any]) -> dict[str, Any]:
    """Shorten a row that alone would pass the budget, and say so in it."""
    steps: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: {"body": sanitize.shorten(row["body"], 8_000)},
        lambda: {
            "attributes": {
                sanitize.shorten(key, _NAME_MAX): sanitize.shorten(str(value), 500)
                for key, value in list(row["attributes"].items())[:40]
            }
        },
        lambda: {"body": sanitize.shorten(row["body"], 1_000), "attributes": {}},
    )
    for step in steps:
        if len(_dumps(row)) <= _ROW_MAX:
            break
        row = {**row, **step()}
    return row


def _footer(rows: int, cursor: str | None, cut: bool) -> str:
    said = f"rows={rows} more={'yes' if cursor else 'no'}"
    if cut:
        said += f" (cut at whole rows: a result holds {BUDGET} characters)"
    return f"{said} next_cursor={cursor}" if cursor else said


def _stopped(page: query.Page) -> list[str]:
    if page.searched_to is None:
        return []
    when = query.rfc3339(page.searched_to, 0)
    return [f"searched as far as {when}; next_cursor goes on from there"]


def _next_steps(lines: list[query.Line]) -> list[str]:
    traced = [one for one in lines if one.trace_id]
    if not traced:
        return []
    worst = max(traced, key=lambda one: one.severity)
    return [f'Next: logger_get_trace(trace_id="{worst.trace_id}")']


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
