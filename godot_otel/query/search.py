"""Searching slices: word filters first, then only the rows of chunks that may match.

The answer is exactly what a scan of every row would give: a filter never denies a word
that its chunk holds, and every row is checked again before it is given out.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace

from godot_otel import store
from godot_otel.query.clauses import Clauses, chunk_clauses, matches, text_clauses
from godot_otel.query.cursor import Position
from godot_otel.query.filters import Text
from godot_otel.query.line import COLUMNS, Line
from godot_otel.query.packs import Chunk, stored
from godot_otel.query.reader import fetch
from godot_otel.query.slices import MICROSECOND, Slice

# Chunks read by one statement: one first, which fills a page of frequent words, then
# more. Without a first look in SQL every row of a chunk travels, so fewer.
_FIRST, MANY, MANY_UNSEEN = 1, 16, 4
# Slices searched by one statement, which locks a partition of each: more as long as
# all of them take but a moment.
_MOST_SLICES, _MOMENT = 12, 0.03  # seconds


async def search(
    connection: store.Connection,
    pieces: Sequence[Slice],
    bounds: Callable[[Slice], Clauses],
    entries: list[str],
    text: Text,
    newest: bool,
) -> AsyncIterator[tuple[list[Line], Position]]:
    """Yield matching lines in order, with the place up to which nothing is missing.

    *pieces* are in reading order. *bounds* are what rows of a slice must fulfil beside
    the text; *entries* must all be in a chunk's filter.
    """
    look = text_clauses(text)
    size = 1
    while pieces:
        run, pieces = pieces[:size], pieces[size:]
        began = time.monotonic()
        chunks = await candidates(connection, run, entries, newest=newest)
        quick = time.monotonic() - began < _MOMENT
        size = min(size * 4, _MOST_SLICES) if quick else 1
        pending: list[Line] = []
        for group, left in groups(chunks, MANY if look.texts else MANY_UNSEEN):
            lines = await _read(connection, run, group, bounds, look)
            pending += (one for one in lines if matches(text, one.body, one.attributes))
            pending.sort(key=lambda one: one.position, reverse=newest)
            if left is None:
                break
            # Chunks overlap in time: what the next one may still come before must wait.
            edge = Position(left.time_last + MICROSECOND if newest else left.time_first)
            ready = [one for one in pending if (one.position > edge) is newest]
            pending = pending[len(ready) :]
            yield ready, edge
        yield pending, Position(run[-1].lower if newest else run[-1].upper)


async def candidates(
    connection: store.Connection,
    pieces: Sequence[Slice],
    entries: list[str],
    *,
    newest: bool,
    table: str = "word_filters",
) -> list[Chunk]:
    """The chunks of slices whose filters do not deny a match, in reading order."""
    asked = chunk_clauses(entries)
    within = Clauses()
    for piece in _joined(pieces):
        within.add(
            "(time_first >= %s AND time_first < %s"
            " AND time_first < %s AND time_last >= %s)",
            piece.floor, piece.ceiling, piece.upper, piece.lower,
        )  # fmt: skip # of the partition, of the slice
    rows = await fetch(
        connection,
        "SELECT time_first, time_last, seq_first, seq_last FROM {table}"
        " WHERE ({within}) AND {asked} ORDER BY {order}",
        [*within.values, *asked.values],
        table=table,
        within=" OR ".join(within.texts),
        asked=asked,
        order="time_last DESC" if newest else "time_first",
    )
    return [Chunk(*row) for row in rows]


def _joined(pieces: Sequence[Slice]) -> list[Slice]:
    """The same time in fewer slices: those that follow each other are one."""
    found: list[Slice] = []
    for piece in sorted(pieces, key=lambda piece: piece.floor):
        if found and found[-1].upper == piece.lower == piece.floor:
            before = found.pop()
            piece = replace(piece, floor=before.floor, lower=before.lower)
        found.append(piece)
    return found


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
    connection: store.Connection,
    run: Sequence[Slice],
    chunks: list[Chunk],
    bounds: Callable[[Slice], Clauses],
    look: Clauses,
) -> list[Line]:
    """Read the rows of chunks; each part of the statement reads one partition."""
    parts = Clauses()
    for piece in run:
        own = [one for one in chunks if piece.floor <= one.time_first < piece.ceiling]
        if own:
            rows = bounds(piece)
            rows.extend(inside(own))
            rows.extend(look)
            source = stored(piece, chunks=own)
            parts.add(
                " ".join(
                    ["SELECT", COLUMNS, "FROM", str(source), "AS l WHERE", str(rows)]
                ),
                *source.values,
                *rows.values,
            )
    statement = " UNION ALL ".join(parts.texts)
    return [Line.of(row) for row in await fetch(connection, statement, parts.values)]
