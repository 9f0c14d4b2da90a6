"""Pages of lines in the shape that every door gives, cut at whole rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from godot_otel import query
from godot_otel.web.api.operation import dumps

MAX_BYTES = 8 * 1024 * 1024  # of an answer's rows; the cursor goes on


def lines(page: query.Page) -> str:
    """The answer of a page: ``rows``, then ``about`` it."""
    now = datetime.now(UTC)
    rows = fitting(dumps(one.as_json(now)) for one in page.lines)
    cursor = page.next_cursor
    if len(rows) < len(page.lines):
        cursor = page.cursor_after(page.lines[len(rows) - 1])
    return joined(rows, _about(page, cursor))


def trace(found: query.TraceLines) -> str:
    """The answer of one trace: with the first page of its lines also its spans."""
    assert found.trace
    spans = fitting(dumps(one.as_json()) for one in found.spans)
    begin = dumps({"trace": found.trace.as_json()})[:-1]
    links = dumps([one.as_json() for one in found.linked])
    text = lines(found.page)
    return f'{begin},"spans":[{",".join(spans)}],"linked":{links},{text[1:]}'


def traces(page: query.Traces) -> str:
    """The same of a page of traces."""
    rows = fitting(dumps(one.as_json()) for one in page.traces)
    cut = len(rows) < len(page.traces)
    cursor = page.cursors[len(rows) - 1] if cut else page.next_cursor
    return joined(rows, _about(page, cursor))


def fitting(rows: Iterable[str]) -> list[str]:
    """The first rows, at least one, that together are no more than MAX_BYTES."""
    kept: list[str] = []
    left = MAX_BYTES
    for row in rows:
        left -= len(row.encode())
        if kept and left < 0:
            break
        kept.append(row)
    return kept


def _about(page: query.Page | query.Traces, cursor: str | None) -> dict[str, Any]:
    """What is said of rows: how to go on, which window, how fresh, why none."""
    window, notes = page.window(), list(page.notes)
    if page.searched_to:
        when = query.rfc3339(page.searched_to, 0)
        window["searched_to"] = when
        notes.append(f"searched as far as {when}; next_cursor goes on from there")
    return {
        "next_cursor": cursor,
        "window": window,
        "truncated": cursor is not None,
        "ingest": page.ingest.as_json(),
        "notes": notes,
    }


def joined(rows: list[str], rest: dict[str, Any]) -> str:
    """One object of rows that are JSON already and what is said of them."""
    return f'{{"rows":[{",".join(rows)}],{dumps(rest)[1:]}'
