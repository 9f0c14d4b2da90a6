"""Finding traces by the lines they hold, for what ``trace_index`` does not know."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from godot_otel import store
from godot_otel.query.clauses import Clauses, matches, row_clauses
from godot_otel.query.counts import Counted, count
from godot_otel.query.filters import Filters
from godot_otel.query.reader import fetch
from godot_otel.query.slices import MICROSECOND
from godot_otel.query.trace import Trace, summaries
from godot_otel.query.trace_search import FIRST_ID, Found, Key
from godot_otel.query.walk import TIME_BUDGET

_AT_ONCE = 4  # times as many traces are counted as a page needs
_RANKED = 5000  # traces, the newest of the window, that are sorted


@dataclass(frozen=True, slots=True)
class LineSearch:
    """What the lines must fulfil of the traces that are looked for."""

    filters: Filters
    since: datetime | None
    until: datetime | None
    errors: bool
    min_duration: timedelta

    async def recent(
        self, connection: store.Connection, after: Key | None, size: int
    ) -> Found:
        """Count backwards; a trace stands where its newest matching line does."""
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
        """The newest matching line of each trace that wrote since then.

        By the traces' own lines: complete whatever time that takes, for a page must
        not show again what one before has shown.
        """
        asked, newest = row_clauses(self.filters), dict[UUID, Key]()
        asked.add("l.trace_id = ANY(%s)", ids)
        if self.until:
            asked.add("l.time < %s", self.until)
        rows = await fetch(
            connection,
            "SELECT p.lower, max(t.last) FROM trace_index AS t"
            " JOIN partitions AS p ON p.parent = 'logs'"
            " AND t.first >= p.lower AND t.first < p.upper"
            " WHERE t.trace_id = ANY(%s) AND t.last >= %s GROUP BY p.lower",
            [ids, since],
        )
        for lower, last in rows:
            found = await fetch(
                connection,
                "SELECT l.trace_id, l.time, l.body, l.attributes FROM logs AS l"
                " WHERE l.time BETWEEN %s AND %s AND {asked} ORDER BY l.time",
                [max(lower, since), last, *asked.values],
                asked=asked,
            )
            for trace_id, when, body, attributes in found:
                if matches(self.filters.text, body, attributes or {}):
                    key = (0, when, trace_id)
                    newest[trace_id] = max(newest.get(trace_id, key), key)
        return newest

    async def ranked(
        self, connection: store.Connection, after: Key | None, size: int, sort: str
    ) -> Found:
        """Count all traces of the window that have such a line, and sort them."""
        counted = await self._count(connection, self.since, self.until)
        known = await self._long_enough(connection, {i for (i,) in counted.groups})
        keys = [
            (
                one.errors if sort == "errors" else one.duration // MICROSECOND,
                one.last,
                trace_id,
            )
            for trace_id, one in known.items()
        ]
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
        traced = Clauses()
        traced.add("l.trace_id IS NOT NULL")
        return await count(
            connection, self.filters, ("trace",), since=since, until=until,
            more=traced, enough=enough,
        )  # fmt: skip # one call

    async def _long_enough(
        self, connection: store.Connection, ids: set[UUID]
    ) -> dict[UUID, Trace]:
        known = await summaries(connection, ids) if ids else {}
        return {
            trace_id: one
            for trace_id, one in known.items()
            if one.duration >= self.min_duration and (one.errors or not self.errors)
        }
