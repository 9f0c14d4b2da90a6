"""Makes of several batches what one transaction writes: rows, filters and counts.

Pure computation, done beside the previous transaction. Rows are put in the order of
their partitions, because a filter's chunk must not cross one: retention drops filters
with the rows they speak of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeVar

from godot_otel_collector import rollups
from godot_otel_collector.batch import Batch, Origin, Rows, SpanRows
from godot_otel_collector.catalog import Calendar
from godot_otel_collector.chunks import Chunk, chunks, hours

_AnyRows = TypeVar("_AnyRows", Rows, SpanRows)


@dataclass(slots=True)
class Group:
    """What one transaction writes; rows of counts and of the index in COPY's form."""

    batches: list[Batch]
    chunks: list[Chunk] = field(default_factory=list)
    """Of ``logs``."""
    spans: list[Chunk] = field(default_factory=list)
    traces: bytes = b""
    """Rows of ``trace_index``."""
    counts: bytes = b""
    """Rows of ``log_counts``."""
    operations: bytes = b""
    """Rows of ``operation_counts``."""

    def hours(self) -> set[int]:
        """The hours whose partitions the rows need, in microseconds."""
        return hours((*self.chunks, *self.spans))


def prepare(batches: list[Batch], calendar: Calendar) -> Group:
    """Order rows, build filters, count; *calendar* says which rows go together."""
    group = Group(batches)
    rows, spans = Rows(), SpanRows()
    for batch in batches:
        batch.stored = len(batch.received)
        batch.services = _services(batch.received.origins)
        rows.extend(batch.rows)
        spans.extend(batch.spans)
    traces: list[bytes] = []
    for lines in _by_partition(rows, calendar):
        group.chunks += chunks(lines, sum(len(one.packed) for one in group.chunks))
        traces += rollups.line_traces(lines)
    for part in _by_partition(spans, calendar):
        before = sum(len(one.packed) for one in group.spans)
        group.spans += chunks(part, len(rows) + before)
        traces += rollups.span_traces(part)
    group.traces = b"".join(traces)
    group.counts = b"".join(rollups.line_counts(rows))
    group.operations = b"".join(rollups.operation_counts(spans))
    return group


def _services(origins: list[Origin]) -> dict[str, int]:
    """Count rows by service; nearly every batch is of one."""
    if origins and origins.count(origins[0]) == len(origins):
        return {origins[0][0]: len(origins)}
    return Counter(service for service, _ in origins)


def _by_partition(rows: _AnyRows, calendar: Calendar) -> Iterable[_AnyRows]:
    if not rows:
        return []
    if calendar.lower(min(rows.times)) == calendar.lower(max(rows.times)):
        return [rows]

    def lower(place: int) -> int:
        return calendar.lower(rows.times[place])

    places = sorted(range(len(rows)), key=lower)
    return [rows.take(part) for _, part in groupby(places, key=lower)]
