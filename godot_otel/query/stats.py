"""How many lines of which level from whom: from the rollups, never from rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from godot_otel import store
from godot_otel.query.clauses import Clauses, name_clause
from godot_otel.query.emptiness import why_empty
from godot_otel.query.filters import LEVELS, FilterError, Filters, level_name
from godot_otel.query.freshness import Ingest, ingest
from godot_otel.query.line import rfc3339
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.slices import Slice, slices

MAX_COMPONENTS = 50
_PARTITIONS_A_STATEMENT = 12  # so that a wide window never holds many locks at once
_USABLE = {"component", "environment", "level", "since", "until"}
_MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Component:
    """What one service wrote in the window."""

    name: str
    levels: dict[str, int] = field(default_factory=dict)
    last_seen: datetime | None = None

    @property
    def lines(self) -> int:
        """All levels together."""
        return sum(self.levels.values())


@dataclass(frozen=True, slots=True)
class Storage:
    """What the store holds and for how long."""

    partitions: int
    bytes: int
    oldest: datetime | None
    retention_days: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of a window of whole minutes."""

    since: datetime | None
    until: datetime | None
    levels: dict[str, int]
    components: list[Component]
    omitted: int
    """How many components more there are, with fewer lines than those listed."""
    ingest: Ingest
    storage: Storage
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        return {
            "window": {
                "since": rfc3339(self.since) if self.since else None,
                "until": rfc3339(self.until) if self.until else "now",
            },
            "levels": self.levels,
            "components": [
                {
                    "name": one.name,
                    "levels": one.levels,
                    "last_seen": rfc3339(one.last_seen) if one.last_seen else None,
                }
                for one in self.components
            ],
            "omitted_components": self.omitted,
            "ingest": self.ingest.as_json(),
            "storage": {
                "partitions": self.storage.partitions,
                "bytes": self.storage.bytes,
                "oldest": rfc3339(self.storage.oldest) if self.storage.oldest else None,
                "retention_days": self.storage.retention_days,
            },
            "notes": self.notes,
        }


async def stats(reader: Reader, filters: Filters) -> Stats:
    """Count lines by level and component; minutes count whole.

    Raises:
        FilterError: a filter is not one that counts are kept by.
    """
    if more := sorted(set(filters.given) - _USABLE):
        raise FilterError(f"{more[0]}: counts are not kept by this; ask for lines")
    async with reader.connection() as connection:
        counted = await _count(connection, filters)
        facts = await ingest(reader, connection, filters.since)
        storage = await _storage(connection)
        notes = []
        if not counted:
            notes = await why_empty(
                connection, filters, filters.since, filters.until, facts
            )
    ranked = sorted(counted, key=lambda one: (-one.lines, one.name))
    totals: dict[str, int] = {}
    for component in ranked:
        _merge(totals, component.levels)
    return Stats(
        since=filters.since,
        until=filters.until,
        levels=_in_order(totals),
        components=ranked[:MAX_COMPONENTS],
        omitted=max(0, len(ranked) - MAX_COMPONENTS),
        ingest=facts,
        storage=storage,
        notes=notes,
    )


def _merge(totals: dict[str, int], levels: dict[str, int]) -> None:
    for level, lines in levels.items():
        totals[level] = totals.get(level, 0) + lines


def _in_order(levels: dict[str, int]) -> dict[str, int]:
    names = [*LEVELS, "UNKNOWN"]
    return {name: levels[name] for name in names if name in levels}


async def _count(connection: store.Connection, filters: Filters) -> list[Component]:
    clauses = Clauses()
    if filters.component:
        name_clause(clauses, "service", filters.component)
    if filters.environment:
        clauses.add("environment = %s", filters.environment)
    if filters.severity:
        clauses.add("severity >= %s", filters.severity)
    since = filters.since and filters.since.replace(second=0, microsecond=0)
    pieces = await slices(connection, "log_counts", since, filters.until)
    found: dict[str, Component] = {}
    for start in range(0, len(pieces), _PARTITIONS_A_STATEMENT):
        group = pieces[start : start + _PARTITIONS_A_STATEMENT]
        for service, severity, lines, last in await _rows(connection, group, clauses):
            one = found.setdefault(service, Component(service))
            _merge(one.levels, {level_name(severity) or "UNKNOWN": lines})
            one.last_seen = max(one.last_seen or last, last)
    for one in found.values():
        one.levels = _in_order(one.levels)
    return list(found.values())


async def _rows(
    connection: store.Connection, group: list[Slice], clauses: Clauses
) -> list[tuple[Any, ...]]:
    return await fetch(
        connection,
        "SELECT service, severity, sum(n)::bigint, max(last) FROM log_counts"
        " WHERE minute >= %s AND minute < %s AND {clauses} GROUP BY service, severity",
        [group[0].lower, group[-1].upper, *clauses.values],
        clauses=clauses,
    )


async def _storage(connection: store.Connection) -> Storage:
    rows = await fetch(
        connection,
        "SELECT count(name) FILTER (WHERE parent = 'logs'),"
        " coalesce(sum(pg_total_relation_size(to_regclass(quote_ident(name)))), 0)"
        "::bigint, (SELECT retention_days FROM settings) FROM partitions",
    )
    partitions, size, retention_days = rows[0]
    oldest = None
    # Partitions are made ahead, so the first ones may be empty: find the first line.
    for piece in await slices(connection, "log_counts", None, None):
        first = await fetch(
            connection,
            "SELECT min(first) FROM log_counts WHERE minute >= %s AND minute < %s",
            [piece.lower, piece.upper],
        )
        if first[0][0] is not None:
            oldest = first[0][0]
            break
    return Storage(partitions, size, oldest, retention_days)
