"""Makes of several batches what one transaction writes: rows, filters and counts.

Pure computation, done beside the previous transaction. Rows are put in the order of
their partitions, because a filter's chunk must not cross one: retention drops filters
with the rows they speak of.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from godot_otel import words
from godot_otel_collector.batch import Batch, Row
from godot_otel_collector.partitions import Calendar

CHUNK = 1024
ERROR = 17  # severity numbers from here on are errors
MINUTE = 60_000_000
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_EPOCH = 946_684_800_000_000

_SEQ = struct.Struct(">hiq")
_FILTER = struct.Struct(">hiqiqiqiqiiihi")
_TRACE = struct.Struct(">hiqiqi16siiiii")
_COUNT = struct.Struct(">hiqiqiqiqiiihi")
_LENGTH = struct.Struct(">i")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Up to 1,024 rows that stand together, and the filter of their words."""

    ordinal: int
    rows: Sequence[Row]
    bits: int
    words: bytes

    def packed_rows(self, seq: int) -> bytes:
        """The rows in COPY's form; *seq* is that of the group's first row."""
        pack, first = _SEQ.pack, seq + self.ordinal
        pieces: list[bytes] = []
        for offset, row in enumerate(self.rows):
            pieces.append(pack(22, 8, first + offset))
            pieces.append(row.packed)
        return b"".join(pieces)

    def packed_filter(self, seq: int) -> bytes:
        """The filter as a row of ``word_filters`` in COPY's form."""
        times = [row.time for row in self.rows]
        first = seq + self.ordinal
        return (
            _FILTER.pack(
                7, 8, min(times) - _EPOCH, 8, max(times) - _EPOCH,
                8, first, 8, first + len(self.rows) - 1,
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


def prepare(batches: list[Batch], calendar: Calendar) -> Group:
    """Order rows, build filters, count; every row's partition must be in *calendar*."""
    group = Group(batches)
    rows = [row for batch in batches for row in batch.rows]
    if not rows:
        return group
    traces: list[bytes] = []
    ordinal = 0
    for part in _by_partition(rows, calendar):
        for start in range(0, len(part), CHUNK):
            chunk = part[start : start + CHUNK]
            bits, data = words.word_filter(_words(chunk))
            group.chunks.append(Chunk(ordinal, chunk, bits, data))
            ordinal += len(chunk)
        traces += _traces(part)
    group.traces = b"".join(traces)
    group.counts = b"".join(_counts(rows))
    return group


def _by_partition(rows: list[Row], calendar: Calendar) -> Iterable[list[Row]]:
    times = [row.time for row in rows]
    if calendar.lower(min(times)) == calendar.lower(max(times)):
        return [rows]

    def lower(row: Row) -> int:
        return calendar.lower(row.time)

    return [list(part) for _, part in groupby(sorted(rows, key=lower), key=lower)]


def _words(rows: Sequence[Row]) -> set[str]:
    found = set(words.text_words("\n".join([row.text for row in rows])))
    pairs: set[tuple[str, str | int]] = set()
    for row in rows:
        pairs.update(row.pairs)
    found.update(w for k, v in pairs if (w := words.attribute_word(k, v)))
    return found


def _traces(rows: list[Row]) -> Iterable[bytes]:
    """One row for each trace and service; they never cross a partition of logs."""
    found: dict[tuple[bytes, str], list[int]] = {}
    for row in rows:
        if row.trace_id is None:
            continue
        known = found.get((row.trace_id, row.service))
        error = row.severity >= ERROR
        if known is None:
            found[row.trace_id, row.service] = [row.time, row.time, 1, error]
            continue
        if row.time < known[0]:
            known[0] = row.time
        elif row.time > known[1]:
            known[1] = row.time
        known[2] += 1
        known[3] += error
    for (trace_id, service), (first, last, lines, errors) in found.items():
        name = service.encode()
        yield _TRACE.pack(
            6, 8, first - _EPOCH, 8, last - _EPOCH, 16, trace_id,
            4, lines, 4, errors, len(name),
        ) + name  # fmt: skip # a column's length beside its value


def _counts(rows: list[Row]) -> Iterable[bytes]:
    found: dict[tuple[int, str, str, int, int], list[int]] = {}
    for row in rows:
        time = row.time
        key = (
            time // MINUTE, row.environment, row.service, row.severity, row.template_id,
        )  # fmt: skip # one key
        known = found.get(key)
        if known is None:
            found[key] = [1, time, time]
            continue
        known[0] += 1
        if time < known[1]:
            known[1] = time
        elif time > known[2]:
            known[2] = time
    for (minute, environment, service, severity, template), known in found.items():
        n, first, last = known
        where, who = environment.encode(), service.encode()
        yield b"".join((
            _COUNT.pack(
                8, 8, minute * MINUTE - _EPOCH, 8, first - _EPOCH, 8, last - _EPOCH,
                8, template, 4, n, 2, severity, len(where),
            ),
            where, _LENGTH.pack(len(who)), who,
        ))  # fmt: skip # a column's length beside its value
