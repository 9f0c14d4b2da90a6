"""Rows that stand together in the store, and the filter of their words."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from godot_otel import words
from godot_otel_collector.calendar import HOUR
from godot_otel_collector.packing import EPOCH

_SEQ_AT = 6  # behind the number of a row's columns, and the length of seq, the first
_FILTER = struct.Struct(">hiqiqiqiqiiihi")


class Packed:
    """Some rows in COPY's form, of which seq is not known yet."""

    def __init__(self, rows: Sequence[bytes]) -> None:
        self._data = bytearray().join(rows)
        self._lengths = array("I", map(len, rows))

    def __len__(self) -> int:
        return len(self._lengths)

    def numbered(self, seq: int) -> bytearray:
        """The rows, with *seq* in the first one and so on; the same bytes each time."""
        lengths = np.frombuffer(self._lengths, dtype=np.uint32)
        starts = np.cumsum(lengths, dtype=np.intp) - lengths + _SEQ_AT
        numbers = np.arange(seq, seq + len(self), dtype=">i8").view(np.uint8)
        data = np.frombuffer(self._data, dtype=np.uint8)
        data[starts[:, None] + np.arange(8)] = numbers.reshape(-1, 8)
        return self._data


@dataclass(frozen=True, slots=True)
class Chunk:
    """Up to 1,024 rows that stand together, and the filter of their words."""

    ordinal: int
    """Place of the first row in the transaction."""
    packed: Packed
    first: int
    last: int
    words: bytes
    """As ``words.chunk_words`` gives them."""

    def rows(self, seq: int) -> bytearray:
        """The rows in COPY's form; *seq* is that of the transaction's first row."""
        return self.packed.numbered(seq + self.ordinal)

    def filter(self, seq: int) -> bytes:
        """The filter as a row of its table in COPY's form, built anew each time."""
        first = seq + self.ordinal
        bits, data = words.word_filter(self.words)
        return (
            _FILTER.pack(
                7, 8, self.first - EPOCH, 8, self.last - EPOCH,
                8, first, 8, first + len(self.packed) - 1,
                4, bits, 2, words.FORMAT, len(data),
            )
            + data
        )  # fmt: skip # a column's length beside its value


def hours(given: Iterable[Chunk]) -> set[int]:
    """The hours that chunks reach over, in microseconds."""
    return {
        hour
        for chunk in given
        for hour in range(chunk.first // HOUR * HOUR, chunk.last + 1, HOUR)
    }
