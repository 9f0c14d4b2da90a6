"""Finding traces through ``trace_index``: the newest, the slowest, the failed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from godot_otel import store
from godot_otel.query import cursor as cursors
from godot_otel.query.clauses import Clauses, name_clause
from godot_otel.query.filters import FilterError, Filters
from godot_otel.query.reader import fetch
from godot_otel.query.slices import ahead, slices
from godot_otel.query.trace import summaries
from godot_otel.query.walk import TIME_BUDGET

_CANDIDATES = 200  # rows of the index looked at together
_MARGIN = timedelta(hours=1)  # beyond a window, for the rest of traces at its edges
_LONGEST = timedelta(days=1)  # a span that goes on longer is not found by its end
_RANKS = {
    "errors": "sum(errors + span_errors)::bigint",
    "slowest": "(extract(epoch FROM max(last) - min(first)) * 1000000)::bigint",
}

Key = tuple[int, datetime, UUID]
"""Where a trace stands: what it is ranked by (0: nothing), newest row and id."""
FIRST_ID = UUID(int=0)


def packed(key: Key) -> tuple[int, datetime, str]:
    """Write a key as a cursor has it."""
    return key[0], key[1], key[2].hex


def unpacked(at: list[Any]) -> Key:
    """Read a key of a cursor.

    Raises:
        FilterError: it is none of ours.
    """
    try:
        moment = cursors.moment(int(at[1]))
        assert moment is not None
        return int(at[0]), moment, UUID(hex=str(at[2]))
    except (TypeError, ValueError, OverflowError):
        raise FilterError("cursor: not one that an earlier answer gave") from None


@dataclass(frozen=True, slots=True)
class Found:
    """Keys in their order, and down to when was searched if the time was up."""

    keys: list[Key]
    edge: datetime | None = None

    def next(self, limit: int, *, ranked: bool) -> Key | None:
        """Where the page after the first *limit* keys begins."""
        if len(self.keys) > limit:
            return self.keys[limit - 1]
        if self.edge and not ranked:
            return 0, self.edge, FIRST_ID
        return None


@dataclass(frozen=True, slots=True)
class IndexSearch:
    """What is looked for in the index."""

    filters: Filters
    since: datetime | None
    until: datetime | None
    errors: bool
    min_duration: timedelta

    def _matching(self) -> Clauses:
        clauses = Clauses()
        if self.filters.component:
            name_clause(clauses, "service", self.filters.component)
        if self.errors:
            clauses.add("errors + span_errors > 0")
        if self.until:
            clauses.add("last < %s", self.until)
        return clauses

    async def recent(
        self, connection: store.Connection, after: Key | None, size: int
    ) -> Found:
        """Walk the index backwards; a trace stands where its newest row does."""
        deadline = time.monotonic() + TIME_BUDGET
        # nanos of 0: of that very moment there may be others
        position = cursors.Position(after[1], 0) if after else None
        found: dict[UUID, Key] = {}
        pieces = await slices(connection, "logs", self.since, self.until)
        for piece in ahead(pieces, position, newest=True):
            inside = Clauses()
            # Rows of the index lie whole within a partition, but for long spans.
            inside.add(
                "first >= %s AND first < %s", piece.floor - _LONGEST, piece.ceiling
            )
            inside.add("last >= %s AND last < %s", piece.lower, piece.upper)
            inside.extend(self._matching())
            while rows := await self._candidates(connection, inside, after):
                for key in await self._kept(connection, rows):
                    found.setdefault(key[2], key)
                after = (0, *rows[-1])
                if len(found) >= size:
                    return Found(list(found.values())[:size])
                if time.monotonic() > deadline:
                    return Found(list(found.values()), after[1])
        return Found(list(found.values()))

    async def _candidates(
        self, connection: store.Connection, inside: Clauses, after: Key | None
    ) -> list[tuple[Any, ...]]:
        clauses = Clauses()
        clauses.extend(inside)
        if after:
            clauses.add("(last, trace_id) < (%s, %s)", after[1], after[2])
        return await fetch(
            connection,
            "SELECT last, trace_id FROM trace_index WHERE {clauses}"
            " ORDER BY last DESC, trace_id DESC LIMIT %s",
            [*clauses.values, _CANDIDATES],
            clauses=clauses,
        )

    async def _kept(
        self, connection: store.Connection, rows: list[tuple[Any, ...]]
    ) -> list[Key]:
        """Those of the rows that are the newest of a trace that is long enough."""
        ids = {row[1] for row in rows}
        newest = await self._newest(connection, ids)
        kept = [(0, last, one) for last, one in rows if newest.get(one) == last]
        if not self.min_duration or not kept:
            return kept
        known = await summaries(connection, {key[2] for key in kept})
        return [key for key in kept if known[key[2]].duration >= self.min_duration]

    async def _newest(
        self, connection: store.Connection, ids: set[UUID]
    ) -> dict[UUID, datetime]:
        clauses = self._matching()
        rows = await fetch(
            connection,
            "SELECT trace_id, max(last) FROM trace_index"
            " WHERE trace_id = ANY(%s) AND {clauses} GROUP BY trace_id",
            [list(ids), *clauses.values],
            clauses=clauses,
        )
        return dict(rows)

    async def ranked(
        self, connection: store.Connection, after: Key | None, size: int, sort: str
    ) -> Found:
        """Sum up each trace that has a matching row in the window, and sort."""
        around, matching, having = Clauses(), self._matching(), Clauses()
        if self.since:
            around.add("first >= %s", self.since - _MARGIN)
            matching.add("last >= %s", self.since)
        if self.until:
            around.add("first < %s", self.until + _MARGIN)
        if self.min_duration:
            having.add("max(last) - min(first) >= %s", self.min_duration)
        if after:
            rank = f"({_RANKS[sort]}, max(last), trace_id)"
            having.add(f"{rank} < (%s, %s, %s)", *after)
        rows = await fetch(
            connection,
            "SELECT {rank}, max(last), trace_id FROM trace_index WHERE {around}"
            " GROUP BY trace_id HAVING bool_or({matching}) AND {having}"
            " ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT %s",
            [*around.values, *matching.values, *having.values, size],
            rank=_RANKS[sort],
            around=around,
            matching=matching,
            having=having,
        )
        return Found([(int(rank), last, trace_id) for rank, last, trace_id in rows])
