"""Requests into entries of the queue, with ids that a repeated request has again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from godot_otel import queue
from godot_otel_collector.receiver.parsed import Parsed
from godot_otel_collector.receiver.signals import Signal

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
    first_ms = _first(parsed) // 1_000_000
    if not now_ms - _PAST_MS <= first_ms <= now_ms + _AHEAD_MS:
        first_ms = now_ms // _DAY_MS * _DAY_MS
    hashed = hashlib.blake2b(body, digest_size=10)
    entries = []
    for number, (payload, records) in enumerate(payloads):
        own = hashed.copy()
        own.update(b"%d" % number)
        identity = queue.derived_id(first_ms, own.digest())
        name = parsed.signal.name.encode()
        entries.append(queue.Entry(identity, name, records, payload))
    return Batches(entries, too_large)


def _first(parsed: Parsed) -> int:
    """The time of the first record in nanoseconds; 0 without one."""
    signal = parsed.signal
    return next((signal.time(one) for _, _, one in signal.each(parsed.request)), 0)


def _split(parsed: Parsed) -> tuple[list[tuple[bytes, int]], int]:
    """Serialize into payloads that a batch may have, with the records of each."""
    if not parsed.records:
        return [], 0
    payload = parsed.request.SerializeToString()
    if len(payload) <= queue.MAX_BATCH_BYTES:
        return [(payload, parsed.records)], 0
    placed = [_Placed(*one) for one in parsed.signal.each(parsed.request)]
    return _halved(parsed.signal, placed)


def _halved(
    signal: Signal, placed: Sequence[_Placed]
) -> tuple[list[tuple[bytes, int]], int]:
    """Serialize; what is too large by halves, and halves of halves."""
    payload = _request(signal, placed).SerializeToString()
    if len(payload) <= queue.MAX_BATCH_BYTES:
        return [(payload, len(placed))], 0
    if len(placed) == 1:
        return [], 1
    middle = len(placed) // 2
    first = _halved(signal, placed[:middle])
    second = _halved(signal, placed[middle:])
    return first[0] + second[0], first[1] + second[1]


def _request(signal: Signal, placed: Sequence[_Placed]) -> Any:
    request = signal.request()
    last: _Placed | None = None
    for one in placed:
        if last is None or one.group is not last.group:
            group = signal.groups(request).add(schema_url=one.group.schema_url)
            group.resource.CopyFrom(one.group.resource)
        if last is None or one.scope is not last.scope:
            scope = signal.scopes(group).add(schema_url=one.scope.schema_url)
            scope.scope.CopyFrom(one.scope.scope)
        signal.records(scope).add().CopyFrom(one.record)
        last = one
    return request
