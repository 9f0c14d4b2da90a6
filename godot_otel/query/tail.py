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
from godot_otel.query.reader import Reader, fetch

_CHUNKS = 64

# Every row belongs to a chunk, and chunks have an index on seq in each partition.
_NEXT_CHUNKS = """
SELECT time_first, time_last, seq_first, seq_last FROM word_filters
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
    reader: Reader, seq: int, *, limit: int = 1000, filters: Filters | None = None
) -> Tail:
    """Return the next lines after *seq* that match, in the order of seq.

    Called again and again with the seq it returned, it gives every stored line once,
    whatever commits meanwhile and in whatever order. No lines: nothing new yet, or
    nothing that matches; then seq has moved. The window of *filters* is left aside.
    """
    wanted = _wanted(filters or Filters())
    async with reader.connection() as connection:
        chunks = await fetch(connection, _NEXT_CHUNKS, [seq, _CHUNKS])
        arms, rows, reached = Clauses(), 0, seq
        for first, last, seq_first, seq_last in chunks:
            if rows >= limit:
                break
            # seqs of a chunk have no gaps, so these are rows, counted
            rows += seq_last - max(seq_first - 1, seq)
            reached = seq_last
            arms.add(
                "(l.time BETWEEN %s AND %s AND l.seq BETWEEN %s AND %s)",
                first, last, max(seq_first, seq + 1), seq_last,
            )  # fmt: skip # two pairs
        if not chunks:
            return Tail([], seq)
        either = f"({' OR '.join(arms.texts)})"
        parts = ["SELECT", COLUMNS, "FROM logs AS l WHERE", either, "AND", str(wanted)]
        statement = " ".join([*parts, "ORDER BY l.seq LIMIT %s"])
        values = [*arms.values, *wanted.values, limit]
        found = [Line.of(row) for row in await fetch(connection, statement, values)]
    # With fewer than asked for, the chunks are read to their end, whatever of them
    # matched or retention took meanwhile.
    seq = found[-1].seq if len(found) >= limit else reached
    text = filters.text if filters else None
    if text:
        found = [one for one in found if matches(text, one.body, one.attributes)]
    return Tail(found, seq)


def _wanted(filters: Filters) -> Clauses:
    clauses = row_clauses(filters)
    if filters.trace:
        low, high = filters.trace.low, filters.trace.high
        clauses.add("l.trace_id BETWEEN %s AND %s", low, high)
    clauses.extend(text_clauses(filters.text))
    return clauses


async def newest_seq(reader: Reader) -> int:
    """The seq after which a follower sees only what is yet to come."""
    async with reader.connection() as connection:
        return int((await fetch(connection, _NEWEST))[0][0]) - 1
