"""Waiting for what is yet to come: an agent's tail, one bounded call at a time."""

from __future__ import annotations

import asyncio
import time

from godot_otel.query import cursor as cursors
from godot_otel.query.clauses import check_patterns
from godot_otel.query.emptiness import not_arrived, unknown_names
from godot_otel.query.filters import FilterError, Filters
from godot_otel.query.freshness import answering
from godot_otel.query.line import Line
from godot_otel.query.logs import MAX_LIMIT, Page
from godot_otel.query.reader import Reader
from godot_otel.query.tail import logs_after, newest_seq

MAX_WAIT = 30.0  # seconds
POLL_INTERVAL = 0.25  # seconds between two looks at the store
_NO_WINDOW = ("since", "until")


async def follow(
    reader: Reader,
    filters: Filters,
    *,
    wait: float = 10.0,
    limit: int = 50,
    cursor: str = "",
) -> Page:
    """Return matching lines stored after *cursor*, waiting for the first of them.

    Without a cursor it begins now. After *wait* seconds without one the page is empty;
    its cursor goes on all the same. Joined by their cursors pages have every line that
    is stored meanwhile, each once, in the order they were stored.

    Raises:
        FilterError: the cursor is none, or a window is given.
    """
    _check(filters, wait, limit)
    deadline = time.monotonic() + wait
    seq = await follow_from(reader, filters, cursor)
    lines: list[Line] = []
    while not lines:
        tail = await logs_after(reader, seq, filters=filters, limit=limit)
        behind, seq, lines = tail.seq > seq, tail.seq, tail.lines
        left = deadline - time.monotonic()
        if lines or left <= 0:
            break
        if not behind:
            await asyncio.sleep(min(POLL_INTERVAL, left))
    async with answering(reader, None) as answer:
        notes = []
        if not lines:
            notes = [
                f"no such line was stored within {wait:g} s",
                *not_arrived(answer.ingest),
            ]
            notes += await unknown_names(answer.connection, filters)
    return Page(
        lines=lines,
        since=None,
        until=None,
        next_cursor=follow_cursor(filters, seq),
        ingest=answer.ingest,
        notes=notes,
        digest=_digest(filters),
        given=filters.given,
        follows=True,
    )


def _check(filters: Filters, wait: float, limit: int) -> None:
    for name in _NO_WINDOW:
        if filters.given.get(name, "now").strip().lower() != "now":
            raise FilterError(
                f"{name}: follow begins now, or at its cursor; leave it out"
            )
    if not 0 <= wait <= MAX_WAIT:
        raise FilterError(f"wait_s: it is not within 0 to {MAX_WAIT:.0f}")
    if not 1 <= limit <= MAX_LIMIT:
        raise FilterError(f"limit: {limit} is not within 1 to {MAX_LIMIT}")


async def follow_from(reader: Reader, filters: Filters, cursor: str) -> int:
    """The seq after which *cursor* goes on; without one that of now.

    Raises:
        FilterError: the cursor is none or one of other filters, or a pattern is none,
            which else the first line to come would show.
    """
    if any(one.operator == "~" for one in filters.where):
        async with reader.connection() as connection:
            await check_patterns(connection, filters)
    if not cursor.strip():
        return await newest_seq(reader)
    seq = cursors.decode(cursor, _digest(filters), 1)[2]
    if not isinstance(seq, int) or isinstance(seq, bool) or not 0 <= seq < 2**63:
        raise FilterError("cursor: not one that an earlier answer gave")
    return seq


def follow_cursor(filters: Filters, seq: int) -> str:
    """The cursor that goes on after *seq*; every door takes every other's."""
    return cursors.encode(_digest(filters), None, None, seq)


def _digest(filters: Filters) -> str:
    return filters.digest("follow")
