"""Pages of lines in the shape that every door gives, cut at whole rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from godot_otel import query
from godot_otel.web.api.operation import dumps

MAX_BYTES = 8 * 1024 * 1024  # of an answer's rows; the cursor goes on


def lines(page: query.Page) -> str:
    """The answer of a page: ``rows``, then ``about`` it."""
    now = datetime.now(UTC)
    rows: list[str] = []
    left, cursor = MAX_BYTES, page.next_cursor
    for one in page.lines:
        row = dumps(one.as_json(now))
        left -= len(row.encode())
        if rows and left < 0:
            cursor = page.cursor_after(page.lines[len(rows) - 1])
            break
        rows.append(row)
    window = page.window()
    if page.searched_to:
        window["searched_to"] = query.rfc3339(page.searched_to, 0)
    return joined(rows, about(page, window, cursor, _stopped(page)))


def about(
    page: query.Page | query.Traces,
    window: dict[str, str | None],
    cursor: str | None,
    more: list[str],
) -> dict[str, Any]:
    """What is said of rows: how to go on, which window, how fresh, why none."""
    return {
        "next_cursor": cursor,
        "window": window,
        "truncated": cursor is not None,
        "ingest": page.ingest.as_json(),
        "notes": page.notes + more,
    }


def joined(rows: list[str], rest: dict[str, Any]) -> str:
    """One object of rows that are JSON already and what is said of them."""
    return f'{{"rows":[{",".join(rows)}],{dumps(rest)[1:]}'


def _stopped(page: query.Page) -> list[str]:
    if page.searched_to is None:
        return []
    when = query.rfc3339(page.searched_to, 0)
    return [f"searched as far as {when}; next_cursor goes on from there"]
