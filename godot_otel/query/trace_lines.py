"""Finding traces by their lines and spans, for what ``trace_index`` does not know."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from godot_otel import store
from godot_otel.query.clauses import Clauses, holds
from godot_otel.query.counts import Counted, count
from godot_otel.query.filters import Filters
from godot_otel.query.packs import stored
from godot_otel.query.reader import fetch
from godot_otel.query.searched import LINES, SPANS, Searched
from godot_otel.query.slices import MICROSECOND, index_slices
from godot_otel.query.trace import Trace, summaries
from godot_otel.query.trace_search import FIRST_ID, Found, Key
from godot_otel.query.walk import TIME_BUDGET

_AT_ONCE = 4  # times as many traces are counted as a page needs
_RANKED = 5000  # traces, the newest of the window, that are sorted


@dataclass(frozen=True, slots=True)
class RowSearch:
    """What lines or spans must fulfil of the traces that are looked for."""

    filters: Filters
    since: datetime | None
    until: datetime | None
    errors: bool
    min_duration: timedelta
    """Of the trace; where an operation is asked for, of its span."""

    @property
    def _tables(self) -> tuple[Searched, ...]:
        return (SPANS,) if self.filters.operation else (LINES, SPANS)

    def _clauses(self, rows: Searched) -> Clauses:
        """What is asked of rows beside the filters."""
        clauses = Clauses()
        if self.filters.operation and self.min_duration:
            shortest = self.min_duration // MICROSECOND * 1000
            clauses.add("l.duration_ns >= %s", shortest)
        if rows is LINES:
            clauses.add("l.trace_id IS NOT NULL")
        return clauses

    async def recent(
        self, connection: store.Connection, after: Key | None, size: int
    ) -> Found:
        """Count backwards; a trace stands where its newest matching row does."""
        deadline = time.monotonic() + TIME_BUDGET
        until = self.until
        if after:  # of that very moment there may be others, unless it is an edge
            until = after[1] + (MICROSECOND if after[2] != FIRST_ID else timedelta())
        found: list[Key] = []
        while True:
            counted = await self._count(
                connection, self.since, until, enough=size * _AT_ONCE
            )
            edge = counted.stopped
            keys = [
                (0, one.last, trace_id)
                for (trace_id,), one in counted.groups.items()
                if edge is None or one.last >= edge
            ]
            found += await self._new(connection, sorted(keys, reverse=True), after)
            if len(found) >= size or edge is None or time.monotonic() > deadline:
                return Found(found[:size], edge if len(found) < size else None)
            # What came before this moment is known; the traces in it may reach down.
            after, until = (0, edge, FIRST_ID), edge

    async def _new(
        self, connection: store.Connection, keys: list[Key], after: Key | None
    ) -> list[Key]:
        """Leave out those that a page before has shown, and those too short."""
        if after:
            keys = [key for key in keys if key < after]
        if after and keys:
            newest = await self._newest(connection, [key[2] for key in keys], after[1])
            keys = [key for key in keys if newest.get(key[2], key) < after]
        known = await self._long_enough(connection, {key[2] for key in keys})
        return [key for key in keys if key[2] in known]

    async def _newest(
        self, connection: store.Connection, ids: list[UUID], since: datetime
    ) -> dict[UUID, Key]:
        """The newest matching row of each trace that went on since then.

        By the traces' own rows: complete whatever time that takes, for a page must
        not show again what one before has shown.
        """
        newest = dict[UUID, Key]()
        for rows in self._tables:
            for trace_id, when in await self._matching(connection, rows, ids, since):
                key = (0, when, trace_id)
                newest[trace_id] = max(newest.get(trace_id, key), key)
        return newest

    async def _matching(
        self,
        connection: store.Connection,
        rows: Searched,
        ids: list[UUID],
        since: datetime,
    ) -> list[tuple[UUID, datetime]]:
        """The rows of traces that match, of since then."""
        asked, matching = rows.clauses(self.filters), list[tuple[UUID, datetime]]()
        asked.extend(self._clauses(rows))
        asked.add("l.trace_id = ANY(%s)", ids)
        if self.until:
            asked.add("l.time < %s", self.until)
        for whole, _ in await index_slices(connection, rows.table, ids):
            piece = whole.cut(since, None)
            source = stored(piece, table=rows.table, traces=ids)
            found = await fetch(
                connection,
                "SELECT l.trace_id, l.time, {columns} FROM {source} AS l"
                " WHERE l.time >= %s AND l.time < %s AND {asked}",
                [*source.values, piece.lower, piece.upper, *asked.values],
                columns=rows.columns,
                source=source,
                asked=asked,
            )
            matching += (
                (trace_id, when)
                for trace_id, when, *said in found
                if holds(self.filters.text, rows.text(*said))
            )
        return matching

    async def ranked(
        self, connection: store.Connection, after: Key | None, size: int, sort: str
    ) -> Found:
        """Count all traces of the window that have such a row, and sort them."""
        counted = await self._count(connection, self.since, self.until)
        known = await self._long_enough(connection, {i for (i,) in counted.groups})
        keys = [
            (
                one.errors + one.span_errors
                if sort == "errors"
                else one.duration // MICROSECOND,
                one.last,
                trace_id,
            )
            for trace_id, one in known.items()
        ]
        if edge := counted.stopped:  # of those before it not all are known
            keys = [key for key in keys if counted.groups[(key[2],)].last >= edge]
        left = (key for key in keys if after is None or key < after)
        return Found(sorted(left, reverse=True)[:size], counted.stopped)

    async def _count(
        self,
        connection: store.Connection,
        since: datetime | None,
        until: datetime | None,
        *,
        enough: int = _RANKED,
    ) -> Counted:
        counted = Counted(since, until, over_rows=True)
        for rows in self._tables:
            part = await count(
                connection, self.filters, ("trace",),
                since=counted.stopped or since, until=until,
                more=self._clauses(rows), enough=enough, rows=rows,
                seconds=TIME_BUDGET / len(self._tables),
            )  # fmt: skip # one call
            counted.add(part.groups.items())
            # The second table is not counted farther back than the first.
            counted.stopped = part.stopped or counted.stopped
        return counted

    async def _long_enough(
        self, connection: store.Connection, ids: set[UUID]
    ) -> dict[UUID, Trace]:
        known = await summaries(connection, ids) if ids else {}
        return {
            trace_id: one
            for trace_id, one in known.items()
            if (self.filters.operation or one.duration >= self.min_duration)
            and (one.errors or one.span_errors or not self.errors)
        }
