"""Searching one slice: word filters first, then only the rows of chunks that may match.

The answer is exactly what a scan of every row would give: a filter never denies a word
that its chunk holds, and every row is checked again before it is given out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime

from godot_otel import store
from godot_otel.query.clauses import Clauses, chunk_clauses, matches, text_clauses
from godot_otel.query.cursor import Position
from godot_otel.query.filters import Text
from godot_otel.query.line import COLUMNS, Line
from godot_otel.query.reader import fetch
from godot_otel.query.slices import MICROSECOND, Slice

# Chunks read by one statement: one first, which fills a page of frequent words, then
# more. Without a first look in SQL every row of a chunk travels, so fewer.
_FIRST, MANY, MANY_UNSEEN = 1, 16, 4


@dataclass(frozen=True, slots=True)
class Chunk:
    """Up to 1,024 rows that share a word filter."""

    time_first: datetime
    time_last: datetime
    seq_first: int
    seq_last: int


async def search_slice(
    connection: store.Connection,
    piece: Slice,
    clauses: Clauses,
    entries: list[str],
    text: Text,
    newest: bool,
) -> AsyncIterator[tuple[list[Line], Position]]:
    """Yield matching lines in order, with the place up to which nothing is missing.

    *clauses* bound the rows to the slice; *entries* must all be in a chunk's filter.
    """
    chunks = await candidates(connection, piece, entries, newest=newest)
    look = text_clauses(text)
    pending: list[Line] = []
    for group, left in groups(chunks, MANY if look.texts else MANY_UNSEEN):
        lines = await _read(connection, group, clauses, look)
        pending += (one for one in lines if matches(text, one.body, one.attributes))
        pending.sort(key=lambda one: one.position, reverse=newest)
        if left is None:
            break
        # Chunks overlap in time: what the next one may still come before must wait.
        edge = Position(left.time_last + MICROSECOND if newest else left.time_first)
        ready = [one for one in pending if (one.position > edge) is newest]
        pending = pending[len(ready) :]
        yield ready, edge
    yield pending, Position(piece.lower if newest else piece.upper)


async def candidates(
    connection: store.Connection,
    piece: Slice,
    entries: list[str],
    *,
    newest: bool,
    table: str = "word_filters",
) -> list[Chunk]:
    """The chunks of a slice whose filters do not deny a match, in reading order."""
    asked = chunk_clauses(entries)
    order = "time_last DESC" if newest else "time_first"
    rows = await fetch(
        connection,
        "SELECT time_first, time_last, seq_first, seq_last FROM {table}"
        " WHERE time_first >= %s AND time_first < %s"
        " AND time_first < %s AND time_last >= %s AND {asked} ORDER BY {order}",
        [piece.floor, piece.ceiling, piece.upper, piece.lower, *asked.values],
        table=table,
        asked=asked,
        order=order,
    )
    return [Chunk(*row) for row in rows]


def groups(
    chunks: list[Chunk], many: int
) -> Iterator[tuple[list[Chunk], Chunk | None]]:
    """Cut into groups, each with the first chunk after it."""
    start, size = 0, _FIRST
    while start < len(chunks):
        end = start + size
        yield chunks[start:end], chunks[end] if end < len(chunks) else None
        start, size = end, min(size * 4, many)


def inside(chunks: list[Chunk]) -> Clauses:
    """The rows of chunks, by time and by seq: the planner takes the cheaper."""
    arms = Clauses()
    for chunk in chunks:
        arms.add(
            "(l.time BETWEEN %s AND %s AND l.seq BETWEEN %s AND %s)",
            chunk.time_first, chunk.time_last, chunk.seq_first, chunk.seq_last,
        )  # fmt: skip # two pairs
    either = Clauses()
    either.add(f"({' OR '.join(arms.texts)})", *arms.values)
    return either


async def _read(
    connection: store.Connection, chunks: list[Chunk], clauses: Clauses, look: Clauses
) -> list[Line]:
    rows = Clauses()
    for part in (clauses, inside(chunks), look):
        rows.extend(part)
    statement = " ".join(["SELECT", COLUMNS, "FROM logs AS l WHERE", str(rows)])
    return [Line.of(row) for row in await fetch(connection, statement, rows.values)]
