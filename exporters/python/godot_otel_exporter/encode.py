"""Log records into OTLP requests, filled in place.

In: what OpenTelemetry's SDK hands to an exporter. Out: batches the queue takes. One bad
record costs its bad field, or at worst itself, never the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from godot_otel.queue import MAX_BATCH_BYTES
from godot_otel.redact import Redactor
from godot_otel_exporter._compat import ReadableLogRecord
from godot_otel_exporter.capture import Captured
from godot_otel_exporter.direct import Direct
from godot_otel_exporter.record import add
from godot_otel_exporter.values import clean, fill_pairs


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
    payload, count = _payload(records, redactor, direct)
    if len(payload) <= MAX_BATCH_BYTES:
        encoded = Encoded(dropped=Counter(unencodable=len(records) - count))
        if count:
            encoded.batches.append(Batch(payload, count))
        return encoded
    if len(records) == 1:
        return Encoded(dropped=Counter(too_large=1))
    middle = len(records) // 2
    first, second = (
        encode(part, redactor, direct) for part in (records[:middle], records[middle:])
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
    groups = _Groups(request, redactor)
    for record in records:
        if isinstance(record, Captured):
            continue
        try:
            scope = record.instrumentation_scope
            count += add(
                groups.logs_of(record), record.log_record, record.dropped_attributes,
                redactor, scope.name if scope else "",
            )  # fmt: skip # where to, what, from whom
        except Exception:  # noqa: S112 # counted by the caller: it is not in the sum
            continue
    # A message's encoding followed by another's is the encoding of both, merged.
    return payload + request.SerializeToString(), count


class _Groups:
    """Finds the list a record belongs into, by its resource and scope.

    By identity first: hashing a resource costs more than encoding a record.
    """

    def __init__(self, request: ExportLogsServiceRequest, redactor: Redactor) -> None:
        self._request = request
        self._redactor = redactor
        self._resources: dict[int, Any] = {}
        self._scopes: dict[tuple[int, Any], Any] = {}
        self._logs: dict[tuple[int, int], Any] = {}

    def logs_of(self, record: ReadableLogRecord) -> Any:
        """Return the repeated field the record must be added to."""
        identity = id(record.resource), id(record.instrumentation_scope)
        logs = self._logs.get(identity)
        if logs is None:
            # A logger with scope attributes makes an equal scope for every record.
            logs = self._logs_in(record.resource, record.instrumentation_scope)
            self._logs[identity] = logs
        return logs

    def _logs_in(
        self, resource: Resource | None, scope: InstrumentationScope | None
    ) -> Any:
        key = id(resource), scope
        logs = self._scopes.get(key)
        if logs is None:
            logs = self._scopes[key] = self._add_scope(resource, scope)
        return logs

    def _add_scope(
        self, resource: Resource | None, scope: InstrumentationScope | None
    ) -> Any:
        group = self._resources.get(id(resource))
        if group is None:
            group = self._request.resource_logs.add()
            group.resource.SetInParent()
            if resource is not None:
                self._fill(group.resource.attributes, resource.attributes)
                group.schema_url = clean(resource.schema_url or "")
            self._resources[id(resource)] = group
        logs = group.scope_logs.add()
        logs.scope.SetInParent()
        if scope is not None:
            logs.scope.name = clean(str(scope.name or ""))
            logs.scope.version = clean(str(scope.version or ""))
            self._fill(logs.scope.attributes, scope.attributes or {})
            logs.schema_url = clean(scope.schema_url or "")
        return logs.log_records

    def _fill(self, target: Any, attributes: Mapping[str, Any]) -> None:
        try:
            fill_pairs(target, attributes, self._redactor)
        except Exception:
            del target[:]
            fill_pairs(target, clean(attributes), self._redactor)
