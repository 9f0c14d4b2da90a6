"""Deletes lines for good: those before a moment, of a service, of one level.

Works as the store's owner. What counts lines and finds traces is corrected in the same
transaction as the lines go, in one snapshot: a batch that is committed meanwhile is
either seen in all of it or in nothing, and maintenance that merges the same counts
makes this try again.

Without a service or level, partitions that are wholly before the moment are given up
as by retention: nobody sees their lines any more, and maintenance drops them. All else
is deleted by rows, a slice of time a transaction, so that tails and the collectors wait
for none of it. Dictionaries, the ledger and dead letters stay, and so does the audit.

Where a line comes into a minute that is being cleared, the first and last time of that
minute's counts may be off within it; the counts are not. What comes into a partition
that was given up goes with it, as by retention.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from godot_otel import audit, sql, store
from godot_otel.errors import RetryableError
from godot_otel.query import rfc3339
from godot_otel.query.clauses import Clauses, name_clause
from godot_otel.query.filters import LEVELS, FilterError, level_name, moment, severity
from godot_otel.query.reader import fetch
from godot_otel.query.slices import MICROSECOND, Slice, slices

NEWEST = timedelta(hours=1)
"""What is younger than this cannot be cleared: it may be arriving just now."""

SLICE_ROWS = 20_000
_PARTITIONS_A_STATEMENT = 12
_ATTEMPTS = 8
_LATE = """
INSERT INTO late_hours
SELECT generate_series(date_trunc('hour', %s, 'UTC'), %s - interval '1 us', '1 hour')
"""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which lines: all that fulfil each part."""

    before: datetime
    """A whole minute: counts are kept by minute."""
    component: str = ""
    """A trailing ``*`` matches its beginning."""
    level: str = ""
    """Exactly this one."""

    def clauses(self) -> Clauses:
        """What a row of logs or of its counts must fulfil, beside time."""
        clauses = self.of_service()
        if self.level:
            lowest = LEVELS[self.level]
            clauses.add("severity BETWEEN %s AND %s", lowest, lowest + 3)
        return clauses

    def of_service(self) -> Clauses:
        """What a row of the trace index must fulfil."""
        clauses = Clauses()
        if self.component:
            name_clause(clauses, "service", self.component)
        return clauses

    @property
    def everything(self) -> bool:
        """Whether time alone chooses."""
        return not (self.component or self.level)

    def as_json(self) -> dict[str, str]:
        """The shape that answers and audit rows have."""
        before = rfc3339(self.before)
        return {"before": before, "component": self.component, "level": self.level}


@dataclass(slots=True)
class Counts:
    """Lines by service and level."""

    components: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, service: str, severity: int, lines: int) -> None:
        """Count more lines."""
        levels = self.components.setdefault(service, {})
        name = level_name(severity) or "UNKNOWN"
        levels[name] = levels.get(name, 0) + lines

    @property
    def levels(self) -> dict[str, int]:
        """All services together, the lowest level first."""
        found: dict[str, int] = {}
        for name in [*LEVELS, "UNKNOWN"]:
            lines = sum(one.get(name, 0) for one in self.components.values())
            if lines:
                found[name] = lines
        return found

    @property
    def lines(self) -> int:
        """All of them."""
        return sum(self.levels.values())


@dataclass(slots=True)
class Cleared:
    """What a call of ``clear`` deleted."""

    counts: Counts = field(default_factory=Counts)
    finished: bool = True
    """False: its time was over before everything was gone; call again."""


def choose(before: str, component: str = "", level: str = "") -> Choice:
    """Read what was asked for, as people and agents write it.

    Raises:
        FilterError: one of them cannot be understood, or the moment is too young.
    """
    now = datetime.now(UTC)
    found = moment("before", before, now).replace(second=0, microsecond=0)
    if found > now - NEWEST:
        raise FilterError(
            f"before: {before!r} is newer than an hour ago, and lines of that time may"
            " be arriving: write -1h or earlier"
        )
    if "\0" in component or any("\ud800" <= one <= "\udfff" for one in component):
        raise FilterError("component: no service has such a name")
    name = level_name(severity(level)) if level.strip() else ""
    return Choice(found, component.strip(), name)


async def count(connection: store.Connection, choice: Choice) -> Counts:
    """Count the lines that are chosen, from the rollups."""
    found = Counts()
    pieces = await slices(connection, "log_counts", None, choice.before)
    for start in range(0, len(pieces), _PARTITIONS_A_STATEMENT):
        group = pieces[start : start + _PARTITIONS_A_STATEMENT]
        await _count(connection, choice, found, group[0].lower, group[-1].upper)
    return found


async def clear(
    connection: store.Connection,
    choice: Choice,
    *,
    caller: str,
    seconds: float | None = None,
    progress: Callable[[int], None] = lambda lines: None,
) -> Cleared:
    """Delete what is chosen; in the audit it is begun before anything is gone.

    Stops soon after *seconds*, at the end of a transaction; *progress* is given the
    lines that are gone so far.

    Raises:
        RetryableError: the store is too busy with the same rows; what is gone is gone.
        psycopg.Error: the store went away, or we are not its owner; likewise.
    """
    ends = None if seconds is None else time.monotonic() + seconds
    cleared = Cleared()
    await _audit(connection, choice, caller, "begun")
    await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    outcome = "failed"
    try:
        for piece in await slices(connection, "logs", None, choice.before):
            cleared.finished = await _partition(
                connection, choice, piece, cleared.counts, ends, progress
            )
            if not cleared.finished:
                break
        outcome = "done"
        return cleared
    finally:
        if not connection.closed:
            await _audit(connection, choice, caller, outcome, cleared)


async def _partition(
    connection: store.Connection,
    choice: Choice,
    piece: Slice,
    counts: Counts,
    ends: float | None,
    progress: Callable[[int], None],
) -> bool:
    """Clear one partition of logs; say whether all of it is cleared."""
    if choice.everything and piece.upper == piece.ceiling:
        await _snapshot(connection, lambda: _give_up(connection, choice, piece, counts))
        progress(counts.lines)
        return True
    while piece.lower < piece.upper:
        if ends is not None and time.monotonic() > ends:
            return False
        began = time.monotonic()
        edge = await _edge(connection, choice, piece)
        step = piece.cut(None, edge)
        found = await _snapshot(connection, lambda s=step: _rows(connection, choice, s))  # type: ignore[misc] # bound now
        for service, severity_number, lines in found:
            counts.add(service, severity_number, lines)
        progress(counts.lines)
        piece = piece.cut(edge, None)
        if found:  # leave the store to those who write and read
            await asyncio.sleep(min(time.monotonic() - began, 1.0))
    return True


async def _edge(connection: store.Connection, choice: Choice, piece: Slice) -> datetime:
    """Where a slice ends that holds as many lines as one transaction may delete."""
    clauses = choice.clauses()
    rows = await fetch(
        connection,
        "SELECT time FROM logs WHERE time >= %s AND time < %s AND {clauses}"
        " ORDER BY time OFFSET %s LIMIT 1",
        [piece.lower, piece.upper, *clauses.values, SLICE_ROWS],
        clauses=clauses,
    )
    if not rows:
        return piece.upper
    edge: datetime = rows[0][0]
    return max(edge, piece.lower + MICROSECOND)  # so many in one microsecond


async def _rows(
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
            minute, piece.upper, piece.upper,
        ],
        clauses=clauses,
    )  # fmt: skip # values in the statement's order
    traces: set[UUID] = {one for row in found for one in row[3] or ()}
    if traces:
        await _index(connection, choice, piece, traces)
    if found:  # counted by hour before they went
        await connection.execute(_LATE, [piece.lower, piece.upper])
    if choice.everything:  # chunks of which no line is left
        await connection.execute(
            "DELETE FROM word_filters WHERE time_first >= %s AND time_last < %s"
            " AND time_first < %s",
            [piece.floor, piece.upper, piece.upper],
            prepare=False,
        )
    return [(service, number, lines) for service, number, lines, _ in found]


async def _index(
    connection: store.Connection, choice: Choice, piece: Slice, traces: set[UUID]
) -> None:
    clauses = choice.of_service()
    values = [piece.floor, piece.ceiling, list(traces), *clauses.values]
    await fetch(connection, sql.query("clear_traces"), values * 2, clauses=clauses)


async def _give_up(
    connection: store.Connection, choice: Choice, piece: Slice, counts: Counts
) -> None:
    """Give up a whole partition, and what the index has of it."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [store.PARTITION_LOCK])
    bounds = [piece.floor, piece.ceiling]
    found = Counts()
    await _count(connection, choice, found, *bounds)
    await fetch(connection, sql.query("give_up"), bounds)
    await connection.execute(
        "DELETE FROM trace_index WHERE first >= %s AND first < %s",
        bounds,
        prepare=False,
    )
    for service, levels in found.components.items():
        for name, lines in levels.items():
            counts.add(service, LEVELS.get(name, 0), lines)


async def _count(
    connection: store.Connection,
    choice: Choice,
    found: Counts,
    lower: datetime,
    upper: datetime,
) -> None:
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


async def _snapshot(
    connection: store.Connection, work: Callable[[], Awaitable[_T]]
) -> _T:
    """Do *work* in one transaction and snapshot, again when another was faster."""
    for attempt in range(_ATTEMPTS):
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '2s'")
                # What was filled a moment ago has no statistics yet: it is thought to
                # be small, and a nested loop over it would take hours.
                await connection.execute("SET LOCAL enable_nestloop = off")
                return await work()
        except (
            psycopg.errors.SerializationFailure,
            psycopg.errors.DeadlockDetected,
            psycopg.errors.LockNotAvailable,
        ):
            await asyncio.sleep(0.05 * 2**attempt)
    raise RetryableError("others keep changing the same rows; clear again later")


async def _audit(
    connection: store.Connection,
    choice: Choice,
    caller: str,
    outcome: Any,
    cleared: Cleared | None = None,
) -> None:
    detail: dict[str, Any] = {}
    if cleared is not None:
        detail = {"lines": cleared.counts.lines, "finished": cleared.finished}
        detail["levels"] = cleared.counts.levels
    deed = audit.Deed(caller, "clear", outcome, choice.as_json(), detail)
    await audit.enter(connection, deed)
