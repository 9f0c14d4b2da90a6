"""Makes of several batches what one transaction writes: rows, filters and counts.

Pure computation, done beside the previous transaction. Rows are put in the order of
their partitions, because a filter's chunk must not cross one: retention drops filters
with the rows they speak of.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from godot_otel import words
from godot_otel_collector.batch import Batch, Origin, Rows
from godot_otel_collector.catalog import HOUR, Calendar

CHUNK = 1024
ERROR = 17  # severity numbers from here on are errors
MINUTE = 60_000_000
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_EPOCH = 946_684_800_000_000

# Behind the number of a row's columns, and the length of seq, which is the first.
_SEQ_BYTES = np.arange(6, 14)
_FILTER = struct.Struct(">hiqiqiqiqiiihi")
_TRACE = struct.Struct(">hiqiqi16siiiii")
_COUNT = struct.Struct(">hiqiqiqiqiiihi")
_LENGTH = struct.Struct(">i")


class Packed:
    """Some rows in COPY's form, of which seq is not known yet."""

    def __init__(self, rows: Sequence[bytes]) -> None:
        self._data = b"".join(rows)
        ends = np.cumsum(np.fromiter(map(len, rows), np.intp, len(rows)))
        # Where each byte of each seq goes.
        self._places = np.concatenate(([0], ends[:-1]))[:, None] + _SEQ_BYTES

    def __len__(self) -> int:
        return len(self._places)

    def numbered(self, seq: int) -> bytearray:
        """The rows, with *seq* in the first one and so on."""
        data = bytearray(self._data)
        numbers = np.arange(seq, seq + len(self), dtype=">i8")
        np.frombuffer(data, np.uint8)[self._places] = (
            numbers.view(np.uint8).reshape(-1, 8)
        )  # fmt: skip # what goes where
        return data


@dataclass(frozen=True, slots=True)
class Chunk:
    """Up to 1,024 rows that stand together, and the filter of their words."""

    ordinal: int
    """Place of the first row in the transaction."""
    packed: Packed
    first: int
    last: int
    bits: int
    words: bytes

    def rows(self, seq: int) -> bytearray:
        """The rows in COPY's form; *seq* is that of the transaction's first row."""
        return self.packed.numbered(seq + self.ordinal)

    def filter(self, seq: int) -> bytes:
        """The filter as a row of ``word_filters`` in COPY's form."""
        first = seq + self.ordinal
        return (
            _FILTER.pack(
                7, 8, self.first - _EPOCH, 8, self.last - _EPOCH,
                8, first, 8, first + len(self.packed) - 1,
                4, self.bits, 2, words.FORMAT, len(self.words),
            )
            + self.words
        )  # fmt: skip # a column's length beside its value


@dataclass(slots=True)
class Group:
    """What one transaction writes."""

    batches: list[Batch]
    chunks: list[Chunk] = field(default_factory=list)
    traces: bytes = b""
    """Rows of ``trace_index`` in COPY's form."""
    counts: bytes = b""
    """Rows of ``log_counts`` in COPY's form."""

    def hours(self) -> set[int]:
        """The hours whose partitions the rows need, in microseconds."""
        return {
            hour
            for chunk in self.chunks
            for hour in range(chunk.first // HOUR * HOUR, chunk.last + 1, HOUR)
        }


def prepare(batches: list[Batch], calendar: Calendar) -> Group:
    """Order rows, build filters, count; *calendar* says which rows go together."""
    group = Group(batches)
    rows = Rows()
    for batch in batches:
        batch.stored = len(batch.rows)
        batch.services = _services(batch.rows.origins)
        rows.extend(batch.rows)
    if not rows:
        return group
    traces: list[bytes] = []
    ordinal = 0
    for part in _by_partition(rows, calendar):
        for start in range(0, len(part), CHUNK):
            group.chunks.append(_chunk(part, start, ordinal))
            ordinal += len(group.chunks[-1].packed)
        traces += _traces(part)
    group.traces = b"".join(traces)
    group.counts = b"".join(_counts(rows))
    return group


def _services(origins: list[Origin]) -> dict[str, int]:
    """Count rows by service; nearly every batch is of one."""
    if origins and origins.count(origins[0]) == len(origins):
        return {origins[0][0]: len(origins)}
    return Counter(service for service, _ in origins)


def _by_partition(rows: Rows, calendar: Calendar) -> Iterable[Rows]:
    if calendar.lower(min(rows.times)) == calendar.lower(max(rows.times)):
        return [rows]

    def lower(place: int) -> int:
        return calendar.lower(rows.times[place])

    places = sorted(range(len(rows)), key=lower)
    return [rows.take(part) for _, part in groupby(places, key=lower)]


def _chunk(rows: Rows, start: int, ordinal: int) -> Chunk:
    end = start + CHUNK
    times = rows.times[start:end]
    found = words.chunk_words(rows.texts[start:end], rows.pairs[start:end])
    bits, data = words.word_filter(found)
    packed = Packed(rows.packed[start:end])
    return Chunk(ordinal, packed, min(times), max(times), bits, data)


def _traces(rows: Rows) -> Iterable[bytes]:
    """One row for each trace and service; they never cross a partition of logs."""
    found: dict[tuple[bytes, Origin], list[int]] = {}
    before: bytes | None = None
    before_origin: Origin | None = None
    known: list[int] | None = None
    for time, trace_id, origin, severity in zip(
        rows.times, rows.traces, rows.origins, rows.severities, strict=True
    ):
        if trace_id is None:
            continue
        # Lines of a trace mostly follow each other: hashing each id costs more.
        if trace_id != before or origin is not before_origin:
            before, before_origin = trace_id, origin
            known = found.get((trace_id, origin))
        if known is None:
            known = found[trace_id, origin] = [time, time, 1, severity >= ERROR]
            continue
        if time > known[1]:
            known[1] = time
        elif time < known[0]:
            known[0] = time
        known[2] += 1
        if severity >= ERROR:
            known[3] += 1
    for (trace_id, (service, _)), (first, last, lines, errors) in found.items():
        name = service.encode()
        yield _TRACE.pack(
            6, 8, first - _EPOCH, 8, last - _EPOCH, 16, trace_id,
            4, lines, 4, errors, len(name),
        ) + name  # fmt: skip # a column's length beside its value


def _counts(rows: Rows) -> Iterable[bytes]:
    found: dict[tuple[int, Origin, int, int], list[int]] = {}
    for time, origin, severity, template in zip(
        rows.times, rows.origins, rows.severities, rows.templates, strict=True
    ):
        key = (time // MINUTE, origin, severity, template)
        known = found.get(key)
        if known is None:
            found[key] = [1, time, time]
            continue
        known[0] += 1
        if time > known[2]:
            known[2] = time
        elif time < known[1]:
            known[1] = time
    for (minute, origin, severity, template), (n, first, last) in found.items():
        service, environment = origin[0].encode(), origin[1].encode()
        yield b"".join((
            _COUNT.pack(
                8, 8, minute * MINUTE - _EPOCH, 8, first - _EPOCH, 8, last - _EPOCH,
                8, template, 4, n, 2, severity, len(environment),
            ),
            environment, _LENGTH.pack(len(service)), service,
        ))  # fmt: skip # a column's length beside its value
