"""What one transaction writes, ready for COPY."""

from __future__ import annotations

from dataclasses import dataclass, field

from godot_otel_collector.batch import Batch
from godot_otel_collector.chunk import Chunk, hours


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


@dataclass(slots=True)
class Prepared:
    """What came of some deliveries: a group, or the partitions that it needs first."""

    group: Group | None = None
    moments: set[int] = field(default_factory=set)
    """Microseconds; not every one has a partition, where there is no group."""
    ids: list[bytes] = field(default_factory=list)
    """Batch ids, which need partitions of the ledger."""
    unknown: list[bytes] = field(default_factory=list)
    """Stream ids of entries that only a newer collector understands."""
