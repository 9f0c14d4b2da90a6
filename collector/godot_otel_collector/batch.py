"""The shape between stations: one batch, decoded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Origin = tuple[str, str]
"""Service and environment of a row."""


Row = tuple[int, bytes, bytes | None, Origin, int, int, bytes, bytes, int]
"""One row of ``Rows``, its aspects in their order."""


@dataclass(slots=True)
class Rows:
    """Records ready for COPY, column by column: a list an aspect, a place a row.

    Lists of plain values, because an object a row would cost more than the row.
    """

    times: list[int] = field(default_factory=list)
    """Microseconds since 1970."""
    packed: list[bytes] = field(default_factory=list)
    """Every column in COPY's binary form, seq being 0."""
    traces: list[bytes | None] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    severities: list[int] = field(default_factory=list)
    templates: list[int] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    """What a search looks in, as UTF-8."""
    pairs: list[bytes] = field(default_factory=list)
    """What a filter holds of the attributes, a NUL between."""
    ordinals: list[int] = field(default_factory=list)
    """Place of the record in its batch."""

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Rows:
        """Make columns of rows."""
        columns: Iterable[Any] = map(list, zip(*rows, strict=True))
        return cls(*columns)

    def __len__(self) -> int:
        return len(self.times)

    def extend(self, other: Rows) -> None:
        """Append the rows of *other*."""
        for mine, theirs in zip(self._columns(), other._columns(), strict=True):
            mine.extend(theirs)

    def take(self, places: Iterable[int]) -> Rows:
        """The rows at *places*, in that order."""
        chosen = list(places)
        return Rows(*([column[i] for i in chosen] for column in self._columns()))

    def _columns(self) -> list[list[Any]]:
        return [getattr(self, name) for name in self.__slots__]


@dataclass(slots=True)
class DeadLetter:
    """A record that cannot be stored; ordinal -1 is the batch as a whole."""

    ordinal: int
    reason: str
    payload: bytes


@dataclass(slots=True)
class Batch:
    """One entry of the queue on its way into the store."""

    stream_id: bytes
    size: int
    """Payload bytes, as admission counted them."""
    records: int
    """Records, as admission counted them."""
    id: bytes
    home: int
    signal: str
    source: dict[str, Any]
    payload: bytes
    """The OTLP request, unpacked."""
    outside: bool = False
    """The id is outside the ledger's range: it can be no more than a dead letter."""
    rows: Rows = field(default_factory=Rows)
    """Empty once they are packed; ``Decoder.fill`` makes them again."""
    stored: int = 0
    """How many rows are packed."""
    services: dict[str, int] = field(default_factory=dict)
    """How many of them are of which service."""
    known: bool = False
    """The ledger had it already: nothing of it was written."""
    dead: list[DeadLetter] = field(default_factory=list)
    resources: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    scopes: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    templates: dict[int, tuple[str, str]] = field(default_factory=dict)
    template_ids: list[int] = field(default_factory=list)
    """Those of the rows, for when they are made again: by then more may be learnt."""
