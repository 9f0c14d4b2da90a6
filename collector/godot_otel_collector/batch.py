"""The shape between stations: one batch, decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One record, packed for COPY and with what filters and counts need of it."""

    time: int
    """Microseconds since 1970."""
    packed: bytes
    """Every column but seq, in COPY's binary form."""
    trace_id: bytes | None
    service: str
    environment: str
    severity: int
    template_id: int
    text: str
    """What a search looks in."""
    pairs: list[tuple[str, str | int]]
    """Attributes that a filter holds."""
    ordinal: int


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
    rows: list[Row] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    resources: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    scopes: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    templates: dict[int, tuple[str, str]] = field(default_factory=dict)
