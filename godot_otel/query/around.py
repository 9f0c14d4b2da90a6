"""The neighbours of a line: what the same instance wrote before and after it."""

from __future__ import annotations

from godot_otel import store
from godot_otel.query import cursor as cursors
from godot_otel.query.clauses import Clauses
from godot_otel.query.filters import FilterError, Filters
from godot_otel.query.freshness import answering
from godot_otel.query.line import COLUMNS, Line
from godot_otel.query.logs import MAX_LIMIT, Page
from godot_otel.query.packs import Chunk, spanning, stored
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.search import inside
from godot_otel.query.walk import prepare

_CHUNK = """
SELECT time_first, time_last, seq_first, seq_last, (
    SELECT max(lower) FROM partitions WHERE parent = 'logs' AND lower <= time_first)
FROM word_filters
WHERE seq_last >= %s ORDER BY seq_last LIMIT 1
"""


async def around(
    reader: Reader, filters: Filters, seq: int, *, limit: int = 20
) -> Page:
    """Return the line *seq* amid its neighbours of the same resource, by time.

    Half of *limit* come before it, half after; *filters* are for the neighbours.
    With a limit of 1 it is the line alone.

    Raises:
        FilterError: no line has this seq, or *limit* is none.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise FilterError(f"limit: {limit} is not within 1 to {MAX_LIMIT}")
    if not 0 <= seq < 2**63:
        raise FilterError("around: it is not the seq of a line")
    async with answering(reader, None) as answer:
        connection = answer.connection
        middle = await _line(connection, seq)
        if middle is None:
            raise FilterError(f"around: no line has the seq {seq}; it may have expired")
        after = (limit - 1) // 2
        before = limit - 1 - after
        lines = [
            *await _side(connection, filters, middle, before, newest=True),
            middle,
            *await _side(connection, filters, middle, after, newest=False),
        ]
    return Page(
        lines=lines,
        since=filters.since,
        until=filters.until,
        next_cursor=None,
        ingest=answer.ingest,
        given=filters.given,
        around=seq,
    )


async def _line(connection: store.Connection, seq: int) -> Line | None:
    """Find a line by the chunk that it is in: chunks have an index on seq."""
    chunks = [Chunk(*row) for row in await fetch(connection, _CHUNK, [seq])]
    if not chunks or chunks[0].seq_first > seq:
        return None
    source = stored(spanning(chunks), chunks=chunks)
    clauses = inside(chunks)
    rows = await fetch(
        connection,
        "SELECT {columns} FROM {source} AS l WHERE l.seq = %s AND {clauses}",
        [*source.values, seq, *clauses.values],
        columns=COLUMNS,
        source=source,
        clauses=clauses,
    )
    return Line.of(rows[0]) if rows else None


async def _side(
    connection: store.Connection,
    filters: Filters,
    middle: Line,
    size: int,
    *,
    newest: bool,
) -> list[Line]:
    """The nearest lines on one side, in time order."""
    if not size:
        return []
    same = Clauses()
    same.add("l.resource_id = %s", middle.resource_id)
    walk = await prepare(
        connection, filters, filters.since, filters.until, newest=newest, more=same
    )
    lines, _ = await walk.read(connection, middle.position, size)
    return lines[::-1] if newest else lines


def part_cursor(seq: int, offset: int) -> str:
    """The cursor of the part of a line's text that begins at *offset*."""
    return cursors.encode(f"line{seq}", None, None, offset)


def part_offset(seq: int, cursor: str) -> int:
    """Where the part of a line's text begins that *cursor* means; at first 0.

    Raises:
        FilterError: it is no such cursor, or one of another line.
    """
    if not cursor.strip():
        return 0
    offset = cursors.decode(cursor, f"line{seq}", 1)[2]
    if not isinstance(offset, int) or offset < 0:
        raise FilterError("cursor: not one that an earlier answer gave")
    return offset
