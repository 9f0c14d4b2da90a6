"""Deletes a slice of time from one table, with what finds and counts its rows.

Each of these runs in a transaction of its caller's, in one snapshot.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from psycopg import sql as compose

from godot_otel import sql, store
from godot_otel.clear.choice import Choice, Counts
from godot_otel.query.clauses import Clauses
from godot_otel.query.filters import LEVELS
from godot_otel.query.packs import stored
from godot_otel.query.reader import fetch
from godot_otel.query.slices import MICROSECOND, Slice

SLICE_ROWS = 20_000


async def edge(
    connection: store.Connection, table: str, clauses: Clauses, piece: Slice
) -> datetime:
    """Where a slice ends that holds as many rows as one transaction may delete."""
    rows = await fetch(
        connection,
        "SELECT time FROM {table} WHERE time >= %s AND time < %s AND {clauses}"
        " ORDER BY time OFFSET %s LIMIT 1",
        [piece.lower, piece.upper, *clauses.values, SLICE_ROWS],
        table=table,
        clauses=clauses,
    )
    if table == "logs":
        rows += await fetch(
            connection,
            "SELECT time_first FROM (SELECT time_first, sum(lines) OVER ("
            " ORDER BY time_first) AS n FROM log_packs WHERE time_first >= %s"
            " AND time_first < %s) AS packs WHERE n > %s ORDER BY time_first LIMIT 1",
            [piece.lower, piece.upper, SLICE_ROWS],
        )
    found: datetime = min((row[0] for row in rows), default=piece.upper)
    return max(found, piece.lower + MICROSECOND)  # so many in one microsecond


async def spans(connection: store.Connection, choice: Choice, piece: Slice) -> int:
    """Delete the spans of whole minutes with their counts; return how many."""
    clauses = choice.of_service()
    bounds = [piece.lower, piece.upper]
    found = await fetch(
        connection,
        sql.query("clear_spans"),
        [*bounds, *clauses.values] * 2,
        clauses=clauses,
    )
    number, traces = found[0]
    if traces:
        await _index(connection, choice, piece, set(traces))
    if choice.everything:
        await _filters(connection, "span_filters", piece)
    return int(number)


async def lines(
    connection: store.Connection, choice: Choice, piece: Slice
) -> list[tuple[str, int, int]]:
    """Delete the lines of a slice; return how many of which service and severity."""
    clauses = choice.clauses()
    minute = piece.lower.replace(second=0, microsecond=0)
    found = await fetch(
        connection,
        sql.query("clear_lines"),
        [
            piece.lower, piece.upper, *clauses.values,
            piece.floor, piece.upper, piece.lower,
            *[piece.lower, piece.upper, *clauses.values] * 2,
            minute, piece.upper, piece.upper,
        ],
        clauses=clauses,
    )  # fmt: skip # values in the statement's order
    traces: set[UUID] = {one for row in found for one in row[3] or ()}
    if traces:
        await _index(connection, choice, piece, traces)
    if found:  # counted by hour before they went
        hours = {"since": piece.lower, "until": piece.upper}
        await fetch(connection, sql.query("late_hours"), hours)
    if choice.everything:
        await _filters(connection, "word_filters", piece)
    return [(service, number, lines) for service, number, lines, _ in found]


async def vacuum_packs(connection: store.Connection, piece: Slice) -> None:
    """Let what was packed anew take the place of what was before."""
    found = await fetch(
        connection,
        "SELECT name FROM partitions WHERE parent = 'log_packs' AND lower = %s"
        " AND dropped_at IS NULL",
        [piece.floor],
    )
    for (name,) in found:
        vacuum = compose.SQL("VACUUM {}").format(compose.Identifier(name))
        await connection.execute(vacuum)


async def _filters(connection: store.Connection, table: str, piece: Slice) -> None:
    """Delete the filters of chunks of which no row is left."""
    statement = (
        "DELETE FROM {} WHERE time_first >= %s AND time_last < %s AND time_first < %s"
    )
    await connection.execute(
        compose.SQL(statement).format(compose.Identifier(table)),
        [piece.floor, piece.upper, piece.upper],
        prepare=False,
    )


async def _index(
    connection: store.Connection, choice: Choice, piece: Slice, traces: set[UUID]
) -> None:
    clauses = choice.of_service()
    whole = Slice(piece.floor, piece.ceiling, piece.floor, piece.ceiling)
    source = stored(whole, traces=traces)
    values = [piece.floor, piece.ceiling, list(traces), *clauses.values]
    await fetch(
        connection,
        sql.query("clear_traces"),
        [*values, *source.values, *values, *values],
        clauses=clauses,
        lines=source,
    )


async def give_up(
    connection: store.Connection, choice: Choice, piece: Slice, counts: Counts
) -> None:
    """Give up a whole partition, and what the index has of it."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [store.PARTITION_LOCK])
    bounds = [piece.floor, piece.ceiling]
    found = Counts()
    await count(connection, choice, found, *bounds)
    await fetch(connection, sql.query("give_up"), bounds)
    await connection.execute(
        "DELETE FROM trace_index WHERE first >= %s AND first < %s",
        bounds,
        prepare=False,
    )
    for service, levels in found.components.items():
        for name, lines in levels.items():
            counts.add(service, LEVELS.get(name, 0), lines)
    counts.spans += found.spans


async def count(
    connection: store.Connection,
    choice: Choice,
    found: Counts,
    lower: datetime,
    upper: datetime,
) -> None:
    """Add to *found* what the rollups say of some time."""
    clauses = choice.clauses()
    rows = await fetch(
        connection,
        "SELECT service, severity, sum(n)::bigint FROM log_counts"
        " WHERE minute >= %s AND minute < %s AND {clauses} GROUP BY service, severity",
        [lower, upper, *clauses.values],
        clauses=clauses,
    )
    for service, number, lines in rows:
        found.add(service, number, lines)
    if choice.spans:
        clauses = choice.of_service()
        rows = await fetch(
            connection,
            "SELECT coalesce(sum(n), 0)::bigint FROM operation_counts"
            " WHERE minute >= %s AND minute < %s AND {clauses}",
            [lower, upper, *clauses.values],
            clauses=clauses,
        )
        found.spans += int(rows[0][0])
