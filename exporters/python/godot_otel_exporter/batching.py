"""How items are batched: OpenTelemetry's variables, with defaults of our own."""

from __future__ import annotations

import os
from dataclasses import dataclass

from godot_otel_exporter.diagnostics import report_once

_DELAY_MILLISECONDS = 200
_BATCH_RECORDS = 512
_QUEUE_RECORDS = 32_768


@dataclass(frozen=True)
class Batching:
    """How long an item waits for others, and how many may wait and go together."""

    delay: float
    """In seconds: ``OTEL_*_SCHEDULE_DELAY``, which is in milliseconds."""
    batch_records: int
    """``OTEL_*_MAX_EXPORT_BATCH_SIZE``."""
    queue_records: int
    """``OTEL_*_MAX_QUEUE_SIZE``."""

    @classmethod
    def of(cls, processor: str) -> Batching:
        """Read the variables of ``BLRP``, for log records, or ``BSP``, for spans.

        A malformed one is reported, and its default holds.
        """
        name = f"OTEL_{processor}_"
        queue_records = _positive(f"{name}MAX_QUEUE_SIZE", _QUEUE_RECORDS)
        batch_records = _positive(f"{name}MAX_EXPORT_BATCH_SIZE", _BATCH_RECORDS)
        delay = _positive(f"{name}SCHEDULE_DELAY", _DELAY_MILLISECONDS) / 1000
        return cls(delay, min(batch_records, queue_records), queue_records)


def _positive(name: str, default: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or not int(text):
        report_once(name, "%s: expected a number above 0; %d is used", name, default)
        return default
    return int(text)
