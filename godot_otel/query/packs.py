"""Lines, whether they are rows of ``logs`` or have been packed.

What has been over for a day is packed by maintenance: a row of ``log_packs`` holds up
to 128 lines, an array for each column. Whoever reads lines reads both tables in one
statement, so that a line is found wherever it is, and nowhere twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from godot_otel.query.clauses import Clauses
from godot_otel.query.slices import MICROSECOND, Slice

_LONGEST = timedelta(days=1)  # of partitions
_COLUMNS = (
    "time", "time_nanos", "seq", "severity", "environment", "service", "logger", "body",
    "trace_id", "span_id", "attributes", "resource_id", "trace_flags", "template_id",
)  # fmt: skip # what a line has, and what it is asked by
_OTLP = (
    "scope_id", "observed_time", "observed_nanos", "severity_text", "event_name",
    "body_data", "dropped_attributes",
)  # fmt: skip # what else was sent

# Of few the index knows the packs; each of many would be looked up in it, but one pack
# after the other is quickly compared with all of them.
_FEW, _MOST_FEW = "p.trace_id && %s", 100
_MANY = "EXISTS (SELECT FROM unnest(p.trace_id) AS one WHERE one = ANY(%s))"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Up to 1,024 rows that share a word filter."""

    time_first: datetime
    time_last: datetime
    seq_first: int
    seq_last: int
    floor: datetime | None = None
    """Where its partition begins, for those who do not read slices."""


def stored(
    piece: Slice,
    *,
    table: str = "logs",
    traces: Collection[UUID] | None = None,
    chunks: Sequence[Chunk] = (),
    whole: bool = False,
) -> Clauses:
    """What to read FROM, for the rows of a slice; its text is ``str`` of it.

    Each pack of which a line may be asked for is unpacked: those of the slice, of
    *traces*, of *chunks*. Whatever else a line must fulfil, its time included, is asked
    of it as of any row. With *whole* it has the columns of OTLP as well.
    """
    source = Clauses()
    if table != "logs":
        source.add(table)
        return source
    packs = Clauses()
    packs.add(
        "p.time_first >= %s AND p.time_first < %s AND p.time_last >= %s",
        piece.floor, piece.upper, piece.lower,
    )  # fmt: skip # of the partition, of the slice
    if traces is not None:
        packs.add(_FEW if len(traces) <= _MOST_FEW else _MANY, list(traces))
    if chunks:
        packs.extend(_holding(chunks))
    names = _COLUMNS + _OTLP if whole else _COLUMNS
    # Set-returning functions side by side go on in step.
    unpacked = ", ".join(f"unnest(p.{name}) AS {name}" for name in names)
    source.add(
        " ".join(
            [
                "(SELECT", ", ".join(names), "FROM logs UNION ALL",
                "SELECT", unpacked, "FROM log_packs AS p WHERE", str(packs) + ")",
            ]
        ),
        *packs.values,
    )  # fmt: skip # the statement as it reads
    return source


def spanning(chunks: Sequence[Chunk]) -> Slice:
    """The time of chunks of any partitions as one slice."""
    lower = min(chunk.time_first for chunk in chunks)
    upper = max(chunk.time_last for chunk in chunks) + MICROSECOND
    return Slice(min(map(_floor, chunks)), upper, lower, upper)


def _floor(chunk: Chunk) -> datetime:
    return chunk.floor or chunk.time_first - _LONGEST


def _holding(chunks: Sequence[Chunk]) -> Clauses:
    """The packs in which lines of chunks may be."""
    arms = Clauses()
    for chunk in chunks:
        arms.add(
            "(p.time_first >= %s AND p.time_first <= %s AND p.time_last >= %s"
            " AND p.seq_first <= %s AND p.seq_last >= %s)",
            _floor(chunk), chunk.time_last, chunk.time_first,
            chunk.seq_last, chunk.seq_first,
        )  # fmt: skip # by time, by seq
    either = Clauses()
    either.add(f"({' OR '.join(arms.texts)})", *arms.values)
    return either
