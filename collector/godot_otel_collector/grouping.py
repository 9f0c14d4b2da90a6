"""Makes of several batches what one transaction writes: rows, filters and counts.

Pure computation, done beside the previous transaction. Rows are put in the order of
their partitions, because a filter's chunk must not cross one: retention drops filters
with the rows they speak of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TypeVar

from godot_otel import words
from godot_otel_collector import rollups
from godot_otel_collector.batch import Batch, Origin, Rows, SpanRows
from godot_otel_collector.calendar import Calendar
from godot_otel_collector.chunk import Chunk, Packed
from godot_otel_collector.group import Group

CHUNK = 1024

_AnyRows = TypeVar("_AnyRows", Rows, SpanRows)


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
        group.chunks += _chunks(lines, sum(len(one.packed) for one in group.chunks))
        traces += rollups.line_traces(lines)
    for part in _by_partition(spans, calendar):
        before = sum(len(one.packed) for one in group.spans)
        group.spans += _chunks(part, len(rows) + before)
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


def _chunks(rows: Rows | SpanRows, ordinal: int) -> Iterator[Chunk]:
    """Cut rows of one partition, of which the first has *ordinal*."""
    for start in range(0, len(rows), CHUNK):
        end = start + CHUNK
        times = rows.times[start:end]
        found = words.chunk_words(rows.texts[start:end], rows.pairs[start:end])
        packed = Packed(rows.packed[start:end])
        yield Chunk(ordinal + start, packed, min(times), max(times), found)
