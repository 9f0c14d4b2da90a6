"""The shape between stations: one batch, decoded."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Self

LOGS, TRACES = "logs", "traces"
"""The signals; their names are those of the wire contract."""

WHOLE = -1
"""The ordinal of a dead letter that is a whole batch."""

Origin = tuple[str, str]
"""Service and environment of a row."""


@dataclass(slots=True)
class _Columns:
    """Records ready for COPY, column by column: a list an aspect, a place a row.

    Lists of plain values, because an object a row would cost more than the row.
    """

    times: list[int] = field(default_factory=list)
    """Microseconds since 1970."""
    packed: list[bytes] = field(default_factory=list)
    """Every column in COPY's binary form, seq being 0."""
    origins: list[Origin] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    """What a search looks in, as UTF-8."""
    pairs: list[list[bytes]] = field(default_factory=list)
    """What a filter holds of the attributes."""
    ordinals: list[int] = field(default_factory=list)
    """Place of the record in its batch."""

    @classmethod
    def of(cls, rows: Iterable[tuple[Any, ...]]) -> Self:
        """Make columns of rows, which have the aspects in their order."""
        columns: Iterable[Any] = map(list, zip(*rows, strict=True))
        return cls(*columns)

    def __len__(self) -> int:
        return len(self.times)

    def extend(self, other: Self) -> None:
        """Append the rows of *other*."""
        for mine, theirs in zip(self._columns(), other._columns(), strict=True):
            mine.extend(theirs)

    def take(self, places: Iterable[int]) -> Self:
        """The rows at *places*, in that order."""
        chosen = list(places)
        columns = ([column[i] for i in chosen] for column in self._columns())
        return type(self)(*columns)

    def without(self, ordinals: Collection[int]) -> Self:
        """The rows that are of none of these records."""
        places = enumerate(self.ordinals)
        return self.take(at for at, ordinal in places if ordinal not in ordinals)

    def _columns(self) -> list[list[Any]]:
        return [getattr(self, one.name) for one in fields(self)]


Row = tuple[int, bytes, Origin, bytes, list[bytes], int, bytes | None, int, int]
"""One row of ``Rows``, its aspects in their order."""


@dataclass(slots=True)
class Rows(_Columns):
    """Rows of ``logs``."""

    traces: list[bytes | None] = field(default_factory=list)
    severities: list[int] = field(default_factory=list)
    templates: list[int] = field(default_factory=list)


SpanRow = tuple[
    int, bytes, Origin, bytes, list[bytes], int, bytes, int, int, bool, bytes
]
"""One row of ``SpanRows``, its aspects in their order."""


@dataclass(slots=True)
class SpanRows(_Columns):
    """Rows of ``spans``; their time is the start."""

    traces: list[bytes] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """Microseconds since 1970."""
    durations: list[int] = field(default_factory=list)
    """Nanoseconds."""
    errors: list[bool] = field(default_factory=list)
    operations: list[bytes] = field(default_factory=list)
    """Kind, environment, service and name of ``operation_counts`` in COPY's form."""


@dataclass(slots=True)
class DeadLetter:
    """A record that cannot be stored; or a batch as a whole."""

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
    """Empty once they are packed; ``Decoder.fill`` makes them again. Of a batch of
    spans: the exceptions that they tell of."""
    spans: SpanRows = field(default_factory=SpanRows)
    """As *rows*."""
    stored: int = 0
    """How many records are packed."""
    services: dict[str, int] = field(default_factory=dict)
    """How many of them are of which service."""
    known: bool = False
    """The ledger had it already: nothing of it was written."""
    dead: list[DeadLetter] = field(default_factory=list)
    resources: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    """What its rows name, by id: this and the next two are the other columns."""
    scopes: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    templates: dict[int, tuple[str, str]] = field(default_factory=dict)
    template_ids: array[int] = field(default_factory=lambda: array("q"))
    """Those of the rows, for when they are made again: by then more may be learnt."""

    @property
    def received(self) -> SpanRows | Rows:
        """The rows of the records themselves, by the signal."""
        return self.spans if self.signal == TRACES else self.rows

    def clear_rows(self) -> None:
        """Let go of the rows."""
        self.rows, self.spans = Rows(), SpanRows()
