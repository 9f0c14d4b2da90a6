"""Log records and spans into OTLP requests.

In: what OpenTelemetry's SDK hands to an exporter. Out: batches the queue takes. One bad
record costs its bad field, or at worst itself, never the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.sdk.trace import ReadableSpan

from godot_otel.queue import MAX_BATCH_BYTES
from godot_otel.redact import Redactor
from godot_otel_exporter._compat import ReadableLogRecord
from godot_otel_exporter.capture import Captured
from godot_otel_exporter.direct import Direct
from godot_otel_exporter.groups import Groups
from godot_otel_exporter.record import add
from godot_otel_exporter.span_encoder import SpanEncoder


@dataclass(frozen=True, slots=True)
class Batch:
    """One OTLP request and how many records it holds."""

    payload: bytes
    records: int


@dataclass(slots=True)
class Encoded:
    """The batches made of some records, and what did not get into them, by reason."""

    batches: list[Batch] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def encode(
    records: Sequence[Captured | ReadableLogRecord],
    redactor: Redactor,
    direct: Direct | None = None,
) -> Encoded:
    """Encode *records* as batches of at most ``MAX_BATCH_BYTES``; never raises.

    Captured log calls need *direct*, which knows their resource.
    """
    return _in_batches(records, lambda part: _payload(part, redactor, direct))


def encode_spans(spans: Sequence[ReadableSpan], encoder: SpanEncoder) -> Encoded:
    """Encode *spans* alike."""
    return _in_batches(spans, encoder.encode)


def _in_batches(
    items: Sequence[Any], encoded: Callable[[Sequence[Any]], tuple[bytes, int]]
) -> Encoded:
    """Split *items* until each part's payload is within the cap of a batch."""
    payload, count = encoded(items)
    if len(payload) <= MAX_BATCH_BYTES:
        found = Encoded(dropped=Counter(unencodable=len(items) - count))
        if count:
            found.batches.append(Batch(payload, count))
        return found
    if len(items) == 1:
        return Encoded(dropped=Counter(too_large=1))
    middle = len(items) // 2
    first, second = (
        _in_batches(part, encoded) for part in (items[:middle], items[middle:])
    )
    return Encoded(first.batches + second.batches, first.dropped + second.dropped)


def _payload(
    records: Sequence[Captured | ReadableLogRecord],
    redactor: Redactor,
    direct: Direct | None,
) -> tuple[bytes, int]:
    """Encode every record that can be; return how many those are."""
    calls, payload, count = [], b"", 0
    if direct is not None:
        calls = [record for record in records if record.__class__ is Captured]
        payload, count = direct.encode(calls)
    if len(calls) == len(records):
        return payload, count
    request = ExportLogsServiceRequest()
    groups = Groups(request, redactor)
    for record in records:
        if isinstance(record, Captured):
            continue
        try:
            scope = record.instrumentation_scope
            count += add(
                groups.logs_of(record.resource, scope), record.log_record,
                record.dropped_attributes, redactor, scope.name if scope else "",
            )  # fmt: skip # where to, what, from whom
        except Exception:  # noqa: S112 # counted by the caller: it is not in the sum
            continue
    # A message's encoding followed by another's is the encoding of both, merged.
    return payload + request.SerializeToString(), count
