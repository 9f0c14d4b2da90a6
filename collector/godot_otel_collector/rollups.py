"""What a transaction adds to the trace index and to the counts, in COPY's form."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from godot_otel import durations
from godot_otel_collector.batch import Origin, Rows, SpanRows
from godot_otel_collector.packing import EPOCH, LENGTH

ERROR = 17  # severity numbers from here on are errors
MINUTE = 60_000_000
_LARGEST = 2**63 - 1
_TRACE = struct.Struct(">hiqiqi16siiiiiiiii")
_COUNT = struct.Struct(">hiqiqiqiqiiihi")
_OPERATION = struct.Struct(">hiqiqiqiqih")


def line_traces(rows: Rows) -> Iterator[bytes]:
    """One row of ``trace_index`` for each trace and service of some lines."""
    traced = zip(
        rows.times, rows.times, rows.traces, rows.origins,
        [severity >= ERROR for severity in rows.severities], strict=True,
    )  # fmt: skip # an aspect after the other
    for trace_id, service, first, last, lines, errors in _traces(traced):
        yield _trace(trace_id, service, first, last, (lines, errors, 0, 0))


def span_traces(rows: SpanRows) -> Iterator[bytes]:
    """One row of ``trace_index`` for each trace and service of some spans."""
    traced = zip(
        rows.times, rows.ends, rows.traces, rows.origins, rows.errors, strict=True
    )
    for trace_id, service, first, last, spans, errors in _traces(traced):
        yield _trace(trace_id, service, first, last, (0, 0, spans, errors))


def _trace(
    trace_id: bytes, service: str, first: int, last: int, counts: Iterable[int]
) -> bytes:
    name = service.encode()
    lines, errors, spans, span_errors = counts
    return _TRACE.pack(
        8, 8, first - EPOCH, 8, last - EPOCH, 16, trace_id, 4, lines, 4, errors,
        4, spans, 4, span_errors, len(name),
    ) + name  # fmt: skip # a column's length beside its value


def _traces(
    rows: Iterable[tuple[int, int, bytes | None, Origin, bool]],
) -> Iterator[tuple[bytes, str, int, int, int, int]]:
    """Merge rows of (begin, end, trace id, origin, error?) by trace and service."""
    found: dict[tuple[bytes, Origin], list[int]] = {}
    before: bytes | None = None
    before_origin: Origin | None = None
    known: list[int] | None = None
    for time, end, trace_id, origin, error in rows:
        if trace_id is None:
            continue
        # Records of a trace mostly follow each other: hashing each id costs more.
        if trace_id != before or origin is not before_origin:
            before, before_origin = trace_id, origin
            known = found.get((trace_id, origin))
        if known is None:
            known = found[trace_id, origin] = [time, end, 1, error]
            continue
        if end > known[1]:
            known[1] = end
        if time < known[0]:
            known[0] = time
        known[2] += 1
        if error:
            known[3] += 1
    for (trace_id, (service, _)), (first, last, number, errors) in found.items():
        yield trace_id, service, first, last, number, errors


def line_counts(rows: Rows) -> Iterator[bytes]:
    """Rows of ``log_counts``."""
    found: dict[tuple[int, Origin], dict[tuple[int, int], list[int]]] = {}
    of: dict[tuple[int, int], list[int]] = {}
    before, end = None, 0
    for time, origin, severity, template in zip(
        rows.times, rows.origins, rows.severities, rows.templates, strict=True
    ):
        # Lines of a service and a minute mostly follow each other.
        if origin is not before or not end - MINUTE <= time < end:
            minute = time // MINUTE
            before, end = origin, (minute + 1) * MINUTE
            of = found.setdefault((minute, origin), {})
        known = of.get((severity, template))
        if known is None:
            of[severity, template] = [1, time, time]
            continue
        known[0] += 1
        if time > known[2]:
            known[2] = time
        elif time < known[1]:
            known[1] = time
    for (minute, origin), counts in found.items():
        service, environment = origin[0].encode(), origin[1].encode()
        length = len(environment)
        names = environment + LENGTH.pack(len(service)) + service
        start = minute * MINUTE - EPOCH
        for (severity, template), (n, first, last) in counts.items():
            yield _COUNT.pack(
                8, 8, start, 8, first - EPOCH, 8, last - EPOCH,
                8, template, 4, n, 2, severity, length,
            ) + names  # fmt: skip # a column's length beside its value


def operation_counts(rows: SpanRows) -> Iterator[bytes]:
    """Rows of ``operation_counts``: by numpy, because a dictionary costs a row more
    than all else that is done here with it."""
    if not rows:
        return
    names = list(dict.fromkeys(rows.operations))
    numbers = {name: number for number, name in enumerate(names)}
    operations = np.array([numbers[one] for one in rows.operations])
    minutes = np.array(rows.times) // MINUTE
    buckets = durations.buckets(rows.durations)
    order = np.lexsort((buckets, operations, minutes))
    keys = np.stack([minutes[order], operations[order], buckets[order]])
    changed = np.any(keys[:, 1:] != keys[:, :-1], axis=0)
    starts = np.concatenate(([0], np.flatnonzero(changed) + 1))
    counts = np.diff(np.append(starts, len(order)))
    errors = np.add.reduceat(np.array(rows.errors, dtype=np.int64)[order], starts)
    sums = _sums(rows.durations, order, starts)
    columns = (keys[0][starts], keys[1][starts], keys[2][starts], counts, errors)
    for (minute, operation, bucket, n, failed), total in zip(
        zip(*(column.tolist() for column in columns), strict=True), sums, strict=True
    ):
        yield _OPERATION.pack(
            9, 8, minute * MINUTE - EPOCH, 8, n, 8, failed, 8, min(total, _LARGEST),
            2, bucket,
        ) + names[operation]  # fmt: skip # a column's length beside its value


def _sums(values: list[int], order: Any, starts: Any) -> list[int]:
    # Beyond 64 bits, by numbers of any size; slower, and as good as never.
    large = max(values) * len(values) > _LARGEST
    array = np.array(values, dtype=object if large else np.int64)
    found: list[int] = np.add.reduceat(array[order], starts).tolist()
    return found
