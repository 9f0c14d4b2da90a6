"""How often each operation ran, failed, and how long it took, from the rollups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from godot_otel import durations, store
from godot_otel.query.clauses import Clauses, name_clause
from godot_otel.query.emptiness import not_arrived, unknown_names
from godot_otel.query.filters import FilterError, Filters
from godot_otel.query.freshness import Ingest
from godot_otel.query.reader import fetch
from godot_otel.query.slices import slices
from godot_otel.query.span import KINDS, milliseconds, named

_HELD = {"component", "environment", "since", "until"}
_PARTITIONS_A_STATEMENT = 12  # so that a wide window never holds many locks at once


@dataclass(slots=True)
class OperationCount:
    """The spans of one name, kind and service."""

    service: str
    name: str
    kind: int
    count: int = 0
    errors: int = 0
    duration_ns: int = 0
    """Of all together."""
    p50_ms: float | None = None
    p95_ms: float | None = None
    """Percentiles are within 4.5 %."""

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        count = self.count or 1
        return {
            "service": self.service,
            "operation": self.name,
            "kind": named(KINDS, self.kind),
            "count": self.count,
            "errors": self.errors,
            "error_share": round(self.errors / count, 4),
            "mean_ms": milliseconds(round(self.duration_ns / count)),
            "p50_ms": self.p50_ms,
            "p95_ms": self.p95_ms,
        }


def check_operations(filters: Filters, bucket: str, fields: str) -> None:
    """Return when operations can be counted so.

    Raises:
        FilterError: by something that their counts do not hold.
    """
    more = [*sorted(set(filters.given) - _HELD)]
    more += ["bucket"] * bool(bucket.strip()) + ["fields"] * bool(fields.strip())
    if more:
        raise FilterError(
            f"{more[0]}: operations are counted by service and environment alone"
        )


async def operations(
    connection: store.Connection,
    filters: Filters,
    since: datetime,
    until: datetime | None,
) -> list[OperationCount]:
    """Count spans by service and operation, those first that take, or fail, most.

    Minutes count whole.
    """
    clauses = Clauses()
    if filters.component:
        name_clause(clauses, "service", filters.component)
    if filters.environment:
        clauses.add("environment = %s", filters.environment)
    found: dict[tuple[str, str, int], OperationCount] = {}
    buckets: dict[tuple[str, str, int], Counter[int]] = {}
    pieces = await slices(connection, "operation_counts", since, until)
    for start in range(0, len(pieces), _PARTITIONS_A_STATEMENT):
        group = pieces[start : start + _PARTITIONS_A_STATEMENT]
        rows = await fetch(
            connection,
            "SELECT service, name, kind, bucket, sum(n)::bigint, sum(errors)::bigint,"
            " sum(duration_ns)::numeric FROM operation_counts"
            " WHERE minute >= %s AND minute < %s AND {clauses} GROUP BY 1, 2, 3, 4",
            [group[0].lower, group[-1].upper, *clauses.values],
            clauses=clauses,
        )
        for *whose, bucket, n, errors, duration_ns in rows:
            key = (whose[0], whose[1], whose[2])
            one = found.setdefault(key, OperationCount(*key))
            one.count += n
            one.errors += errors
            one.duration_ns += int(duration_ns)
            buckets.setdefault(key, Counter())[bucket] += n
    for key, one in found.items():
        one.p50_ms, one.p95_ms = (_milliseconds(buckets[key], p) for p in (0.5, 0.95))
    time = sum(one.duration_ns for one in found.values()) or 1
    failed = sum(one.errors for one in found.values()) or 1

    def weight(one: OperationCount) -> tuple[float, str, str, int]:
        share = max(one.duration_ns / time, one.errors / failed)
        return -share, one.service, one.name, one.kind

    return sorted(found.values(), key=weight)


def _milliseconds(buckets: Counter[int], share: float) -> float | None:
    found = durations.percentile(buckets, share)
    return None if found is None else milliseconds(round(found))


async def why_none(
    connection: store.Connection, filters: Filters, facts: Ingest
) -> list[str]:
    """Sentences on why there is no operation."""
    notes = not_arrived(facts) + await unknown_names(connection, filters)
    return notes or ["no spans in this window"]
