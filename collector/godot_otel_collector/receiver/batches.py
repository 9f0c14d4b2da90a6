"""Requests into entries of the queue, with ids that a repeated request has again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)

from godot_otel import queue
from godot_otel_collector.receiver.parsing import Parsed

_DAY_MS = 86_400_000
# The ledger takes ids from 30 days ago to 1 day ahead of the queue's clock, which is
# not ours.
_PAST_MS = 29 * _DAY_MS
_AHEAD_MS = _DAY_MS // 2


class _Placed(NamedTuple):
    """A record with the resource and the scope it is of."""

    group: Any
    scope: Any
    record: Any


@dataclass(frozen=True, slots=True)
class Batches:
    """What the queue is to hold of one request."""

    entries: list[queue.Entry]
    too_large: int
    """Records that are larger than a batch may be."""


def batches(parsed: Parsed, body: bytes, *, now_ms: int | None = None) -> Batches:
    """Make the entries of a request; *body* is what it was parsed from.

    Their ids are derived from *body*: a client that repeats a request because its
    answer was lost sends the same bytes, and the ledger stores them once. So two
    requests that are the same to the byte, timestamps included, count as one.

    An id begins with the time of the first record; where that is absent or outside of
    what the ledger takes, with the beginning of the current day in UTC. A repetition
    after that day's end is then stored a second time.
    """
    payloads, too_large = _split(parsed)
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    first_ms = _first(parsed.request) // 1_000_000
    if not now_ms - _PAST_MS <= first_ms <= now_ms + _AHEAD_MS:
        first_ms = now_ms // _DAY_MS * _DAY_MS
    hashed = hashlib.blake2b(body, digest_size=10)
    entries = []
    for number, (payload, records) in enumerate(payloads):
        own = hashed.copy()
        own.update(b"%d" % number)
        identity = queue.derived_id(first_ms, own.digest())
        entries.append(queue.Entry(identity, b"logs", records, payload))
    return Batches(entries, too_large)


def _first(request: ExportLogsServiceRequest) -> int:
    """The time of the first record in nanoseconds; 0 without one."""
    for group in request.resource_logs:
        for scope in group.scope_logs:
            for record in scope.log_records:
                return record.time_unix_nano or record.observed_time_unix_nano
    return 0


def _split(parsed: Parsed) -> tuple[list[tuple[bytes, int]], int]:
    """Serialize into payloads that a batch may have, with the records of each."""
    if not parsed.records:
        return [], 0
    payload = parsed.request.SerializeToString()
    if len(payload) <= queue.MAX_BATCH_BYTES:
        return [(payload, parsed.records)], 0
    placed = [
        _Placed(group, scope, record)
        for group in parsed.request.resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    ]
    return _halved(placed)


def _halved(placed: Sequence[_Placed]) -> tuple[list[tuple[bytes, int]], int]:
    """Serialize; what is too large by halves, and halves of halves."""
    payload = _request(placed).SerializeToString()
    if len(payload) <= queue.MAX_BATCH_BYTES:
        return [(payload, len(placed))], 0
    if len(placed) == 1:
        return [], 1
    middle = len(placed) // 2
    first, second = _halved(placed[:middle]), _halved(placed[middle:])
    return first[0] + second[0], first[1] + second[1]


def _request(placed: Sequence[_Placed]) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    last: _Placed | None = None
    for one in placed:
        if last is None or one.group is not last.group:
            group = request.resource_logs.add(schema_url=one.group.schema_url)
            group.resource.CopyFrom(one.group.resource)
        if last is None or one.scope is not last.scope:
            scope = group.scope_logs.add(schema_url=one.scope.schema_url)
            scope.scope.CopyFrom(one.scope.scope)
        scope.log_records.add().CopyFrom(one.record)
        last = one
    return request
