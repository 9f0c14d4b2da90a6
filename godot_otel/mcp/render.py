"""Lines as an agent reads them: whole rows within a budget, marked as untrusted."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from godot_otel import query
from godot_otel.query import sanitize
from godot_otel.query.sanitize import name

BUDGET = 40_000  # characters of a result; clients cut or set aside more than 50,000
ROOM = BUDGET - 4_000  # of them for rows; the rest for header, footer and hints
_BREAKS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_ROW_MAX = ROOM - 2_000


def lines_text(page: query.Page, *, max_chars: int, order: str) -> str:
    """The answer of logger_query."""
    shown, rows, cut = _whole(page, [_row(one, max_chars) for one in page.lines])
    cursor = page.cursor_after(shown[-1]) if cut else page.next_cursor
    hints = [*stopped(page.searched_to), *notes(page.notes)]
    hints += [*_next_steps(shown), *_shortened(shown, max_chars)]
    if not rows and not page.follows:
        hints.append("Next: dewey_get_log_stats() names components, or start_time=-1d")
    foot = footer(len(rows), cursor, cut)
    head = header(page.window(), page.given, order)
    if page.follows:
        head = f"following what is stored  {filters_text(page.given)}"
    return "\n".join([head, *marked(rows), foot, page.ingest.sentence(), *hints])


def whole_line(page: query.Page, offset: int) -> tuple[str, int | None]:
    """One line with all its text from *offset* on, and where the rest begins."""
    whole = _row(page.lines[0], sys.maxsize)
    text, left = whole[offset : offset + _ROW_MAX], len(whole) - offset - _ROW_MAX
    end = offset + _ROW_MAX if left > 0 else None
    said = f"characters {offset} to {offset + len(text)} of {len(whole)}"
    return "\n".join([f"one line, {said}", *marked([text])]), end


def lines_json(page: query.Page) -> str:
    """The same lines as one JSON object, in the shape every door shares."""
    now = datetime.now(UTC)
    shaped = (fitting(sanitize.value(one.as_json(now))) for one in page.lines)
    shown, rows, cut = _whole(page, [dumps(one) for one in shaped])
    cursor = page.cursor_after(shown[-1]) if cut else page.next_cursor
    rest = {
        "next_cursor": cursor,
        "window": page.window(),
        "truncated": cut or (cursor is not None and not page.follows),
        "ingest": sanitize.value(page.ingest.as_json()),
        "notes": sanitize.value(page.notes) + stopped(page.searched_to),
    }
    return f'{{"rows":[{",".join(rows)}],{dumps(rest)[1:]}'


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
    rows, cut = whole_rows(_row(one, max_chars, trace.first) for one in page.lines)
    cursor = page.cursor_after(page.lines[len(rows) - 1]) if cut else page.next_cursor
    facts = trace.as_json()
    head = (
        f"trace {trace.id}  {facts['start']}  {facts['duration_ms']} ms"
        f"  lines {trace.lines} ({len(rows)} shown)  errors {trace.errors}"
    )
    components = ", ".join(name(one) for one in trace.components[:50])
    inside = [f"components: {components}"]
    if found.first_error:
        inside.append("first error: " + _row(found.first_error, max_chars, trace.first))
    hints = [*stopped(page.searched_to), *notes(page.notes)]
    hints += _shortened(page.lines[: len(rows)], max_chars)
    foot = footer(len(rows), cursor, cut)
    return "\n".join(
        [head, *marked([*inside, *rows]), foot, page.ingest.sentence(), *hints]
    )


def trace_json(found: query.TraceLines) -> str:
    """The same as one JSON object."""
    trace = sanitize.value(found.trace.as_json()) if found.trace else None
    return f'{{"trace":{dumps(trace)},{lines_json(found.page)[1:]}'


def header(window: dict[str, Any], given: dict[str, str], order: str) -> str:
    """The effective window, the order and the filters."""
    said = f"window {window['since'] or 'all that is kept'} .. {window['until']}"
    if "since" not in given and "trace_id" not in given and window["since"]:
        said += " (default start_time=-1h)"
    return f"{said}  order {order}  {filters_text(given)}"


def filters_text(given: dict[str, str]) -> str:
    """The filters as they were asked for, without the window."""
    filters = [
        f"{name}={sanitize.line(value)[:200]!r}"
        for name, value in given.items()
        if name not in ("since", "until")
    ]
    return f"filters {' '.join(filters) or 'none'}"


def whole_rows(texts: Iterable[str], room: int = ROOM) -> tuple[list[str], bool]:
    """As many whole rows as there is room for; whether some were left out."""
    rows: list[str] = []
    for text in texts:
        room -= len(text) + 1
        if room < 0:
            return rows, True
        rows.append(text)
    return rows, False


def _whole(
    page: query.Page, texts: list[str]
) -> tuple[list[query.Line], list[str], bool]:
    """The lines that the budget holds, with their rows; those around a line, from it
    outwards."""
    places = list(range(len(texts)))
    if page.around is not None:
        seqs = [one.seq for one in page.lines]
        middle = seqs.index(page.around)
        places.sort(key=lambda place: abs(place - middle))
    rows, cut = whole_rows(texts[place] for place in places)
    shown = sorted(places[: len(rows)])
    return [page.lines[n] for n in shown], [texts[n] for n in shown], cut


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
    body, failure, attributes, stack = _texts(one)
    parts = [when, one.level or "-", name(one.service), name(one.logger), trace]
    parts += [f"#{one.seq}", sanitize.shorten(body, max_chars)]
    if failure:
        parts.append(sanitize.shorten(failure, max_chars))
    if attributes:
        parts.append(sanitize.shorten(attributes, max_chars))
    if stack:  # what failed is said at its end
        parts.append(f"stack: {sanitize.shorten_front(stack, max_chars)}")
    row = " ".join(parts)
    return row if max_chars == sys.maxsize else sanitize.shorten(row, _ROW_MAX)


def _texts(one: query.Line) -> list[str]:
    """What of a line may be long, cleaned: body, failure, attributes, stack."""
    told = one.told
    attributes = sanitize.line(dumps(sanitize.value(told))) if told else ""
    rest = (one.body, one.failure, one.stack)
    body, failure, stack = (sanitize.line(text) for text in rest)
    return [body, failure, attributes, stack]


def trace_line(one: query.Line, trace: query.Trace, max_chars: int) -> str:
    """A line of a trace, with its distance from the trace's begin."""
    return _row(one, max_chars, trace.first)


def fitting(row: dict[str, Any]) -> dict[str, Any]:
    """Shorten a row that alone would pass the budget, and say so in it."""
    steps: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: {"body": sanitize.shorten(row["body"], 8_000)},
        lambda: {
            "attributes": {
                sanitize.shorten(key, sanitize.NAME_MAX): sanitize.shorten(
                    str(value), 500
                )
                for key, value in list(row["attributes"].items())[:40]
            }
        },
        lambda: {"body": sanitize.shorten(row["body"], 1_000), "attributes": {}},
    )
    for step in steps:
        if len(dumps(row)) <= _ROW_MAX:
            break
        row = {**row, **step()}
    return row


def footer(rows: int, cursor: str | None, cut: bool) -> str:
    """How many rows there are, and how to go on."""
    said = f"rows={rows} more={'yes' if cursor or cut else 'no'}"
    if cut:
        said += f" (cut at whole rows: a result holds {BUDGET} characters)"
    return f"{said} next_cursor={cursor}" if cursor else said


def stopped(searched_to: datetime | None) -> list[str]:
    """Say where a long search stopped."""
    if searched_to is None:
        return []
    when = query.rfc3339(searched_to, 0)
    return [f"searched as far as {when}; next_cursor goes on from there"]


def notes(said: list[str]) -> list[str]:
    """Sentences of ours, which may name what somebody else named."""
    return [sanitize.shorten(sanitize.line(note), 1000) for note in said]


def _next_steps(lines: list[query.Line]) -> list[str]:
    traced = [one for one in lines if one.trace_id]
    if not traced:
        return []
    worst = max(traced, key=lambda one: one.severity)
    return [f'Next: logger_get_trace(trace_id="{worst.trace_id}")']


def _shortened(lines: list[query.Line], max_chars: int) -> list[str]:
    """How to see a line whole; not read off the rows, which may imitate it."""
    for one in lines:
        if any(len(text) > max_chars for text in _texts(one)):
            return [f"A line whole: logger_query(around={one.seq}, limit=1)"]
    return []


def dumps(value: Any) -> str:
    """JSON without blanks, on one line for whatever breaks lines."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_BREAKS)
