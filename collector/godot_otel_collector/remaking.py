"""Makes rows once more, in the collector's own process: rare, and far from full speed.

To be imported where it is needed: decoding and its libraries take memory that a
collector hardly ever has a use for.
"""

from __future__ import annotations

from collections.abc import Sequence

from godot_otel_collector import salvage
from godot_otel_collector.batch import Batch, DeadLetter
from godot_otel_collector.decode import Decoder
from godot_otel_collector.grouping import prepare

__all__ = ["letters", "prepare", "rows"]


def rows(batches: Sequence[Batch], *, retention_days: int, floor: int) -> None:
    """Make the rows of those that have let go of theirs."""
    decoder = Decoder(retention_days=retention_days)
    decoder.floor = floor
    for batch in batches:
        if batch.stored and not batch.received:
            decoder.fill(batch)


def letters(batch: Batch, ordinals: set[int], reason: str) -> list[DeadLetter]:
    """Cut records out of a batch as dead letters, which can be sent again."""
    return [
        DeadLetter(ordinal, reason, salvage.one(batch.payload, ordinal))
        for ordinal in sorted(ordinals)
    ]
