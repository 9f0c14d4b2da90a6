"""Why an answer is empty: not arrived yet, gone, misspelt, or filtered away."""

from __future__ import annotations

import difflib
from datetime import datetime

from godot_otel import store
from godot_otel.query import sanitize
from godot_otel.query.clauses import Clauses, name_clause
from godot_otel.query.filters import Filters
from godot_otel.query.freshness import Ingest
from godot_otel.query.line import rfc3339
from godot_otel.query.reader import fetch

_NEAR = 3
_KNOWN_MAX = 5000


async def why_empty(
    connection: store.Connection,
    filters: Filters,
    since: datetime | None,
    until: datetime | None,
    facts: Ingest,
    *,
    spans: bool = False,
) -> list[str]:
    """Sentences that name the likely causes, the likeliest first.

    With *spans* these were looked for too.
    """
    notes = not_arrived(facts)
    kept = await _kept(connection)
    if kept is None:
        return [*notes, "the store holds no lines yet"]
    horizon, first, days = kept
    if until and until <= horizon:
        notes.append(
            f"expired: the store keeps {days} days, nothing from before"
            f" {rfc3339(horizon)}"
        )
    elif until and until <= first:
        notes.append(f"the store holds nothing from before {rfc3339(first)}")
    notes += await unknown_names(connection, filters)
    if filters.trace is not None:
        notes.append(
            f"nothing of trace {filters.trace.hex} fits: never stored, filtered away,"
            " cleared, or expired"
            f" (the store keeps {days} days, since {rfc3339(horizon)})"
        )
    elif not notes:
        notes += await _narrow(connection, filters, since, until, spans=spans)
    return notes


async def _kept(
    connection: store.Connection,
) -> tuple[datetime, datetime, int] | None:
    """Before when lines are expired, before when there never were any, and the days
    between now and the first."""
    rows = await fetch(
        connection,
        "SELECT now() - make_interval(days => retention_days), min(lower),"
        " retention_days FROM partitions, settings WHERE parent = 'logs'"
        " GROUP BY retention_days",
    )
    return (rows[0][0], rows[0][1], rows[0][2]) if rows else None


def not_arrived(facts: Ingest) -> list[str]:
    """Say what waits in the queue, if anything does."""
    if not facts.queue_depth:
        return []
    return [
        f"not arrived yet: {facts.queue_depth} records wait in the queue,"
        f" the oldest for {facts.oldest_lag_s or 0:.1f} s; ask again"
    ]


async def unknown_names(connection: store.Connection, filters: Filters) -> list[str]:
    """Say which names nothing in the store has, and which are near."""
    notes = []
    for title, column, name in (
        ("component", "service", filters.component),
        ("environment", "environment", filters.environment),
        ("version", "version", filters.version),
    ):
        if not name:
            continue
        rows = await fetch(
            connection,
            "SELECT DISTINCT {column} FROM resources LIMIT %s",
            [_KNOWN_MAX],
            column=column,
        )
        known = [value for (value,) in rows]
        wanted = name.removesuffix("*")
        if name in known or (
            name != wanted and any(one.startswith(wanted) for one in known)
        ):
            continue
        near = difflib.get_close_matches(wanted, known, _NEAR, 0.5)
        shown = map(sanitize.name, near)
        hint = f", did you mean {' or '.join(map(repr, shown))}?" if near else ""
        notes.append(f"no such {title}: {name!r}{hint}")
    return notes


async def _narrow(
    connection: store.Connection,
    filters: Filters,
    since: datetime | None,
    until: datetime | None,
    *,
    spans: bool,
) -> list[str]:
    """Say how many lines the window holds without the finer filters; else spans."""
    clauses = Clauses()
    clauses.add("minute >= date_trunc('minute', %s::timestamptz)", since or until)
    clauses.add("minute < coalesce(%s::timestamptz, 'infinity')", until)
    if filters.component:
        name_clause(clauses, "service", filters.component)
    if filters.environment:
        clauses.add("environment = %s", filters.environment)
    rows = await fetch(
        connection,
        "SELECT coalesce(sum(n), 0), coalesce(sum(n) FILTER (WHERE severity >= %s), 0)"
        " FROM log_counts WHERE {clauses}",
        [filters.severity, *clauses.values],
        clauses=clauses,
    )
    lines, severe = rows[0]
    whose = f" of {filters.component!r}" if filters.component else ""
    if spans and (filters.operation or not lines):
        rows = await fetch(
            connection,
            "SELECT coalesce(sum(n), 0) FROM operation_counts WHERE {clauses}",
            clauses.values,
            clauses=clauses,
        )
        if number := rows[0][0]:
            return [f"filtered away: the window has {number} spans{whose} without them"]
    if not lines:
        return [f"no lines{whose} in this window at all; widen it"]
    if filters.severity and not severe:
        return [f"the window has {lines} lines{whose}, all below this level"]
    return [f"filtered away: the window has {lines} lines{whose} without them"]
