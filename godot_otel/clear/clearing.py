"""Counts what is chosen, or deletes it, a partition after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import psycopg

from godot_otel import audit, store
from godot_otel.clear import tables
from godot_otel.clear.choice import Choice, Cleared, Counts
from godot_otel.errors import RetryableError
from godot_otel.query.slices import Slice, slices

_PARTITIONS_A_STATEMENT = 12
_ATTEMPTS = 8
_MINUTE = timedelta(minutes=1)
_T = TypeVar("_T")


async def count(connection: store.Connection, choice: Choice) -> Counts:
    """Count the lines and spans that are chosen, from the rollups."""
    found = Counts()
    pieces = await slices(connection, "log_counts", None, choice.before)
    for start in range(0, len(pieces), _PARTITIONS_A_STATEMENT):
        group = pieces[start : start + _PARTITIONS_A_STATEMENT]
        await tables.count(connection, choice, found, group[0].lower, group[-1].upper)
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
    outcome: audit.Outcome = "failed"
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
        await _snapshot(
            connection, partial(tables.give_up, connection, choice, piece, counts)
        )
        progress(counts.lines)
        return True
    return await _lines(
        connection, choice, piece, counts, ends, progress
    ) and await _spans(connection, choice, piece, counts, ends)


async def _lines(
    connection: store.Connection,
    choice: Choice,
    piece: Slice,
    counts: Counts,
    ends: float | None,
    progress: Callable[[int], None],
) -> bool:
    while piece.lower < piece.upper:
        if ends is not None and time.monotonic() > ends:
            return False
        began = time.monotonic()
        edge = await tables.edge(connection, "logs", choice.clauses(), piece)
        step = piece.cut(None, edge)
        found = await _snapshot(
            connection, partial(tables.lines, connection, choice, step)
        )
        for service, severity_number, lines in found:
            counts.add(service, severity_number, lines)
        progress(counts.lines)
        piece = piece.cut(edge, None)
        if found and piece.packed:
            await tables.vacuum_packs(connection, step)
        if found:  # leave the store to those who write and read
            await asyncio.sleep(min(time.monotonic() - began, 1.0))
    return True


async def _spans(
    connection: store.Connection,
    choice: Choice,
    piece: Slice,
    counts: Counts,
    ends: float | None,
) -> bool:
    """Clear the spans of a partition, by whole minutes: they are counted by minute."""
    while choice.spans and piece.lower < piece.upper:
        if ends is not None and time.monotonic() > ends:
            return False
        began = time.monotonic()
        edge = await tables.edge(connection, "spans", choice.of_service(), piece)
        whole = edge.replace(second=0, microsecond=0)
        edge = min(piece.upper, whole if whole == edge else whole + _MINUTE)
        step = piece.cut(None, edge)
        found = await _snapshot(
            connection, partial(tables.spans, connection, choice, step)
        )
        counts.spans += found
        piece = piece.cut(edge, None)
        if found:
            await asyncio.sleep(min(time.monotonic() - began, 1.0))
    return True


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
    outcome: audit.Outcome,
    cleared: Cleared | None = None,
) -> None:
    detail: dict[str, Any] = {}
    if cleared is not None:
        detail = {
            "lines": cleared.counts.lines,
            "spans": cleared.counts.spans,
            "levels": cleared.counts.levels,
            "finished": cleared.finished,
        }
    deed = audit.Deed(caller, "clear", outcome, choice.as_json(), detail)
    await audit.enter(connection, deed)
