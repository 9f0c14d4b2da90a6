"""Counting lines: from the rollups where they hold what is asked, else over rows.

Rollups are counts by whole minutes and hours and read in no time; rows are counted
newest first for a bounded time, and the answer says how far.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from godot_otel import store
from godot_otel.query.clauses import (
    Clauses,
    check_patterns,
    filter_words,
    holds,
    name_clause,
)
from godot_otel.query.filters import Filters
from godot_otel.query.hours import counted_hours, minutes
from godot_otel.query.line import rfc3339
from godot_otel.query.pace import Pace
from godot_otel.query.packs import stored
from godot_otel.query.reader import fetch
from godot_otel.query.search import MANY, MANY_UNSEEN, candidates, groups, inside
from godot_otel.query.searched import LINES, Searched
from godot_otel.query.slices import MICROSECOND, Slice, ahead, slices
from godot_otel.query.walk import TIME_BUDGET

MAX_GROUPS = 20_000  # counted over rows; an attribute may have a value a line
_HELD = {"component", "environment", "level", "since", "until"}
_ROLLUP = {
    "service": "service",
    "level": "severity",
    "environment": "environment",
    "template": "template_id",
}
_ROWS = {
    "service": "l.service",
    "level": "l.severity",
    "environment": "l.environment",
    "template": "l.template_id",
    "resource": "l.resource_id",
    "trace": "l.trace_id",
}


@dataclass(slots=True)
class Count:
    """How many lines of one kind, and when."""

    lines: int
    first: datetime
    last: datetime

    def add(self, other: Count) -> None:
        """Take another's lines in."""
        self.lines += other.lines
        if other.first < self.first:
            self.first = other.first
        if other.last > self.last:
            self.last = other.last


_NEVER = datetime.max.replace(tzinfo=UTC)

Key = tuple[Any, ...]


@dataclass(slots=True)
class Counted:
    """Counts by what was asked; of all lines of the window unless it stopped."""

    since: datetime | None
    until: datetime | None
    """The effective window; None: open towards now."""
    over_rows: bool = False
    groups: dict[Key, Count] = field(default_factory=dict)
    stopped: datetime | None = None
    """Older lines than this were not counted: the time was up."""

    def add(self, rows: Iterable[tuple[Key, Count]]) -> None:
        """Take counts in."""
        for key, count in rows:
            if known := self.groups.get(key):
                known.add(count)
            else:
                self.groups[key] = count

    def notes(self) -> list[str]:
        """What a reader must know about how it was counted."""
        if self.stopped:
            return [
                f"counted over rows, newest first, as far as {rfc3339(self.stopped)}:"
                " the time was up; older lines are not in these counts, narrow the"
                " window"
            ]
        return ["counted over rows"] if self.over_rows else []


async def count(
    connection: store.Connection,
    filters: Filters,
    by: tuple[str, ...],
    *,
    since: datetime | None,
    until: datetime | None,
    bucket: timedelta | None = None,
    more: Clauses | None = None,
    enough: int = MAX_GROUPS,
    rows: Searched = LINES,
    seconds: float | None = None,
) -> Counted:
    """Count lines (or *rows*) of a window by *by*, within buckets where one is given.

    *by* are service, level, environment, template (id), resource (id), trace (id), or
    attribute keys as ``@key``. A key of the answer has their values, after the
    bucket's start. *more* are conditions on rows beside the filters. Counted from the
    rollups, the window is of whole minutes; over rows, it ends with the time (after
    *seconds*), or with more groups than *enough*.
    """
    held = set(filters.given) <= _HELD and set(by) <= set(_ROLLUP) and more is None
    if held:
        return await _from_rollups(connection, filters, by, since, until, bucket)
    await check_patterns(connection, filters)
    clauses = rows.clauses(filters)
    if more:
        clauses.extend(more)
    entries = await filter_words(connection, filters) + rows.words(filters)
    keys = _keys(_ROWS, "l.time", by, bucket)
    counting = _Rows(rows, filters, clauses, entries, keys)
    seconds = TIME_BUDGET if seconds is None else seconds
    return await counting.count(connection, since, until, enough, seconds)


def _keys(
    columns: dict[str, str], when: str, by: tuple[str, ...], bucket: timedelta | None
) -> Clauses:
    """What is counted by, as expressions of a SELECT."""
    keys = Clauses()
    if bucket:
        keys.add(f"date_bin(%s::interval, {when}, 'epoch'::timestamptz)", bucket)
    for one in by:
        if one.startswith("@"):
            keys.add("l.attributes ->> %s", one[1:])
        else:
            keys.add(columns[one])
    return keys


async def _from_rollups(
    connection: store.Connection,
    filters: Filters,
    by: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    bucket: timedelta | None,
) -> Counted:
    since = since and since.replace(second=0, microsecond=0)
    pieces = await slices(connection, "log_counts", since, until)
    hours = await counted_hours(connection, since, until, bucket)
    counted = Counted(since, until)
    rollups = _Rollups(connection, rollup_clauses(filters), by, bucket)
    if hours:
        table = "template_hours" if "template" in by else "log_hours"
        counted.add(await rollups.read(table, "hour", "hour = ANY(%s)", hours))
    within = "minute >= %s AND minute < %s"
    for stretch in minutes(pieces, hours):
        counted.add(await rollups.read("log_counts", "minute", within, *stretch))
    return counted


@dataclass(frozen=True, slots=True)
class _Rollups:
    """Counts to be read from the tables of rollups."""

    connection: store.Connection
    clauses: Clauses
    by: tuple[str, ...]
    bucket: timedelta | None

    async def read(
        self, table: str, when: str, within: str, *bounds: Any
    ) -> list[tuple[Key, Count]]:
        """Read what *table* has *within* bounds of its column *when*."""
        keys = _keys(_ROLLUP, when, self.by, self.bucket)
        rows = await fetch(
            self.connection,
            "SELECT {keys}, sum(n)::bigint, min(first), max(last) FROM {table}"
            " WHERE {within} AND {clauses} GROUP BY {ordinals}",
            [*keys.values, *bounds, *self.clauses.values],
            keys=", ".join(keys.texts),
            table=table,
            within=within,
            clauses=self.clauses,
            ordinals=_ordinals(keys),
        )
        return [(row[:-3], Count(*row[-3:])) for row in rows]


def rollup_clauses(filters: Filters) -> Clauses:
    """What a row of log_counts must fulfil, beside time."""
    clauses = Clauses()
    if filters.component:
        name_clause(clauses, "service", filters.component)
    if filters.environment:
        clauses.add("environment = %s", filters.environment)
    if filters.severity:
        clauses.add("severity >= %s", filters.severity)
    return clauses


def _ordinals(keys: Clauses) -> str:
    return ", ".join(str(number + 1) for number in range(len(keys.texts)))


Step = tuple[Iterable[tuple[Key, Count]], datetime]
"""Counts, and the time from which on they are whole."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows to be counted, newest first."""

    rows: Searched
    filters: Filters
    clauses: Clauses
    words: list[str]
    keys: Clauses

    async def count(
        self,
        connection: store.Connection,
        since: datetime | None,
        until: datetime | None,
        enough: int,
        seconds: float,
    ) -> Counted:
        counted = Counted(since, until, over_rows=True)
        pieces = ahead(
            await slices(connection, self.rows.table, since, until), None, newest=True
        )
        deadline, pace = time.monotonic() + seconds, Pace()
        for piece in pieces:
            look = self._searched if self.words else self._scanned
            async for counts, edge in look(connection, piece, pace):
                counted.add(counts)
                over = time.monotonic() > deadline or len(counted.groups) > enough
                # Without progress a caller that goes on from here would for ever.
                if over and pieces[-1].lower < edge < (until or _NEVER):
                    counted.stopped = edge
                    return counted
        return counted

    async def _scanned(
        self, connection: store.Connection, piece: Slice, pace: Pace
    ) -> AsyncIterator[Step]:
        def count(bit: Slice) -> Awaitable[list[tuple[Key, Count]]]:
            source = stored(bit, table=self.rows.table)
            return self._grouped(connection, source, _within(bit))

        async for counts, edge in pace.read(connection, piece, count, newest=True):
            yield counts or [], edge

    async def _searched(
        self, connection: store.Connection, piece: Slice, _: Pace
    ) -> AsyncIterator[Step]:
        chunks = await candidates(
            connection, [piece], self.words, newest=True, table=self.rows.chunks
        )
        look = self.rows.look(self.filters.text)
        for group, left in groups(chunks, MANY if look.texts else MANY_UNSEEN):
            source = stored(piece, table=self.rows.table, chunks=group)
            rows = _within(piece)
            rows.extend(inside(group))
            # The next chunk may hold lines of its last moment.
            edge = left.time_last + MICROSECOND if left else piece.lower
            if not self.filters.text:
                yield await self._grouped(connection, source, rows), edge
                continue
            rows.extend(look)
            yield await self._matching(connection, source, rows), edge

    async def _grouped(
        self, connection: store.Connection, source: Clauses, rows: Clauses
    ) -> list[tuple[Key, Count]]:
        rows.extend(self.clauses)
        found = await fetch(
            connection,
            "SELECT {keys}, count(*), min(l.time), max(l.time) FROM {source} AS l"
            " WHERE {rows} GROUP BY {ordinals}",
            [*self.keys.values, *source.values, *rows.values],
            keys=", ".join(self.keys.texts),
            source=source,
            rows=rows,
            ordinals=_ordinals(self.keys),
        )
        return [(row[:-3], Count(*row[-3:])) for row in found]

    async def _matching(
        self, connection: store.Connection, source: Clauses, rows: Clauses
    ) -> list[tuple[Key, Count]]:
        rows.extend(self.clauses)
        found = await fetch(
            connection,
            "SELECT {keys}, l.time, {columns} FROM {source} AS l WHERE {rows}",
            [*self.keys.values, *source.values, *rows.values],
            keys=", ".join(self.keys.texts),
            columns=self.rows.columns,
            source=source,
            rows=rows,
        )
        size = len(self.keys.texts)
        return [
            (tuple(row[:size]), Count(1, row[size], row[size]))
            for row in found
            if holds(self.filters.text, self.rows.text(*row[size + 1 :]))
        ]


def _within(piece: Slice) -> Clauses:
    clauses = Clauses()
    clauses.add("l.time >= %s AND l.time < %s", piece.lower, piece.upper)
    return clauses
