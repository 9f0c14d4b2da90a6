"""Waiting for what is yet to come: an agent's tail, one bounded call at a time."""

from __future__ import annotations

import asyncio
import time

from godot_otel.query import cursor as cursors
from godot_otel.query.emptiness import not_arrived, unknown_names
from godot_otel.query.filters import FilterError, Filters
from godot_otel.query.freshness import ingest
from godot_otel.query.line import Line
from godot_otel.query.logs import MAX_LIMIT, Page
from godot_otel.query.reader import Reader
from godot_otel.query.tail import logs_after, newest_seq

MAX_WAIT = 30.0  # seconds
_POLL_INTERVAL = 0.25
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
    digest = filters.digest("follow")
    if cursor.strip():
        seq = _seq(cursors.decode(cursor, digest, 1)[2])
    else:
        seq = await newest_seq(reader)
    lines: list[Line] = []
    while not lines:
        tail = await logs_after(reader, seq, filters=filters, limit=limit)
        behind, seq, lines = tail.seq > seq, tail.seq, tail.lines
        left = deadline - time.monotonic()
        if lines or left <= 0:
            break
        if not behind:
            await asyncio.sleep(min(_POLL_INTERVAL, left))
    async with reader.connection() as connection:
        facts = await ingest(reader, connection, None)
        notes = []
        if not lines:
            notes = [f"no such line was stored within {wait:g} s", *not_arrived(facts)]
            notes += await unknown_names(connection, filters)
    return Page(
        lines=lines,
        since=None,
        until=None,
        next_cursor=cursors.encode(digest, None, None, seq),
        ingest=facts,
        notes=notes,
        digest=digest,
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


def _seq(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise FilterError("cursor: not one that an earlier answer gave")
    return value
