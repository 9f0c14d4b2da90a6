"""Rows that are written together, and the filters of their words."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from godot_otel import words
from godot_otel_collector.batch import Rows, SpanRows
from godot_otel_collector.catalog import HOUR
from godot_otel_collector.packing import EPOCH

CHUNK = 1024
# Behind the number of a row's columns, and the length of seq, which is the first.
_SEQ_BYTES = np.arange(6, 14)
_FILTER = struct.Struct(">hiqiqiqiqiiihi")


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
        """The filter as a row of its table in COPY's form."""
        first = seq + self.ordinal
        return (
            _FILTER.pack(
                7, 8, self.first - EPOCH, 8, self.last - EPOCH,
                8, first, 8, first + len(self.packed) - 1,
                4, self.bits, 2, words.FORMAT, len(self.words),
            )
            + self.words
        )  # fmt: skip # a column's length beside its value


def chunks(rows: Rows | SpanRows, ordinal: int) -> Iterator[Chunk]:
    """Cut rows of one partition, of which the first has *ordinal*."""
    for start in range(0, len(rows), CHUNK):
        end = start + CHUNK
        times = rows.times[start:end]
        found = words.chunk_words(rows.texts[start:end], rows.pairs[start:end])
        bits, data = words.word_filter(found)
        packed = Packed(rows.packed[start:end])
        yield Chunk(ordinal + start, packed, min(times), max(times), bits, data)


def hours(given: Iterable[Chunk]) -> set[int]:
    """The hours that chunks reach over, in microseconds."""
    return {
        hour
        for chunk in given
        for hour in range(chunk.first // HOUR * HOUR, chunk.last + 1, HOUR)
    }
