"""Following the store: rows by seq, nothing missed and nothing twice.

A row with a smaller seq can become visible after one with a greater: its transaction
began earlier and committed later. So a follower reads only below the oldest transaction
still running; under that, all is decided.
"""

from __future__ import annotations

from dataclasses import dataclass

from godot_otel.query.clauses import Clauses, matches, row_clauses, text_clauses
from godot_otel.query.filters import Filters
from godot_otel.query.line import COLUMNS, Line
from godot_otel.query.packs import Chunk, spanning, stored
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.search import inside

_CHUNKS = 64

# Every row belongs to a chunk, and chunks have an index on seq in each partition.
_NEXT_CHUNKS = """
SELECT time_first, time_last, seq_first, seq_last, (
    SELECT max(lower) FROM partitions WHERE parent = 'logs' AND lower <= time_first)
FROM word_filters
WHERE seq_last > %s AND seq_first < (
    SELECT (xid_base + pg_snapshot_xmin(pg_current_snapshot())::text::bigint) << 20
    FROM settings)
ORDER BY seq_last LIMIT %s
"""
_NEWEST = """
SELECT (xid_base + pg_snapshot_xmin(pg_current_snapshot())::text::bigint) << 20
FROM settings
"""


@dataclass(frozen=True, slots=True)
class Tail:
    """The next lines by seq, and the seq to go on after."""

    lines: list[Line]
    seq: int


async def logs_after(
    reader: Reader, seq: int, *, filters: Filters | None = None, limit: int = 1000
) -> Tail:
    """Return the next lines after *seq* that match, in the order of seq.

    Called again and again with the seq it returned, it gives every stored line once,
    whatever commits meanwhile and in whatever order. No lines: nothing new yet. The
    window of *filters* is not looked at.
    """
    filters = filters or Filters()
    async with reader.connection() as connection:
        rows = await fetch(connection, _NEXT_CHUNKS, [seq, _CHUNKS])
        chunks, reached = _enough([Chunk(*row) for row in rows], seq, limit)
        if not chunks:
            return Tail([], seq)
        source = stored(spanning(chunks), chunks=chunks)
        clauses = _clauses(filters)
        clauses.add("l.seq > %s", seq)
        clauses.extend(inside(chunks))
        clauses.extend(text_clauses(filters.text))
        found = await fetch(
            connection,
            "SELECT {columns} FROM {source} AS l WHERE {clauses}"
            " ORDER BY l.seq LIMIT %s",
            [*source.values, *clauses.values, limit],
            columns=COLUMNS,
            source=source,
            clauses=clauses,
        )
    lines = [Line.of(row) for row in found]
    if len(lines) == limit:  # there may be more in these chunks
        reached = lines[-1].seq
    # Fewer: the others do not match, or retention took them; step over them.
    if filters.text:
        lines = [
            one for one in lines if matches(filters.text, one.body, one.attributes)
        ]
    return Tail(lines, reached)


def _enough(chunks: list[Chunk], seq: int, limit: int) -> tuple[list[Chunk], int]:
    """The first chunks that have *limit* rows after *seq*, and the seq they reach."""
    rows, reached = 0, seq
    for number, chunk in enumerate(chunks):
        if rows >= limit:
            return chunks[:number], reached
        # seqs of a chunk have no gaps, so these are rows, counted
        rows += chunk.seq_last - max(chunk.seq_first - 1, seq)
        reached = chunk.seq_last
    return chunks, reached


def _clauses(filters: Filters) -> Clauses:
    """The conditions on rows; of a trace that may not be stored yet, by its id."""
    clauses = row_clauses(filters)
    if ids := filters.trace:
        clauses.add("l.trace_id BETWEEN %s AND %s", ids.low, ids.high)
    return clauses


async def newest_seq(reader: Reader) -> int:
    """The seq after which a follower sees only what is yet to come."""
    async with reader.connection() as connection:
        return int((await fetch(connection, _NEWEST))[0][0]) - 1
