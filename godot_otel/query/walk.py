"""Reading lines in order: slice after slice until there are enough, or time is up."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from godot_otel import store
from godot_otel.query.clauses import Clauses, check_patterns, filter_words, row_clauses
from godot_otel.query.cursor import Position
from godot_otel.query.filters import Filters
from godot_otel.query.line import COLUMNS, Line
from godot_otel.query.pace import Pace
from godot_otel.query.packs import stored
from godot_otel.query.reader import fetch
from godot_otel.query.search import search
from godot_otel.query.slices import (
    Slice,
    ahead,
    slices,
    trace_slices,
    whole_trace_id,
)

TIME_BUDGET = 1.5  # seconds after which a search gives what it has, and a cursor


@dataclass(frozen=True, slots=True)
class Walk:
    """Slices to read and what their rows must fulfil; made by ``prepare``."""

    filters: Filters
    pieces: list[Slice]
    clauses: Clauses
    words: list[str]
    newest: bool
    trace_id: UUID | None = None

    async def read(
        self, connection: store.Connection, position: Position | None, size: int
    ) -> tuple[list[Line], Position | None]:
        """Read up to *size* lines; with them where the time ran out, if it did."""
        found: list[Line] = []
        asked = time.monotonic()
        deadline = asked + TIME_BUDGET
        pieces = ahead(self.pieces, position, newest=self.newest)
        start, end = self._ends(pieces, position)
        async for lines, edge in self._steps(connection, pieces, position, size):
            found += lines
            if len(found) >= size:
                return found[:size], None
            before, asked = asked, time.monotonic()
            if (
                2 * asked - before > deadline  # another step may take as long
                and edge.time != end
                and self._moved(edge, start)
            ):
                return found, edge
        return found, None

    def _ends(
        self, pieces: list[Slice], position: Position | None
    ) -> tuple[datetime | None, datetime | None]:
        """Where reading begins, and where it ends; None: there is nothing to read."""
        if not pieces:
            return None, None
        first, last = pieces[0], pieces[-1]
        if self.newest:
            return position.time if position else first.upper, last.lower
        return position.time if position else first.lower, last.upper

    def _moved(self, edge: Position, start: datetime | None) -> bool:
        """Whether whoever goes on from *edge* has less before them than before.

        Chunks may overlap, and bits be read in vain, so that no moment is settled.
        """
        if start is None:
            return True
        return edge.time < start if self.newest else edge.time > start

    async def _steps(
        self,
        connection: store.Connection,
        pieces: list[Slice],
        position: Position | None,
        size: int,
    ) -> AsyncIterator[tuple[list[Line], Position]]:
        """Lines in order, with the place up to which nothing is missing."""
        if self.words:

            def bounds(piece: Slice) -> Clauses:
                return self._bounds(piece, position)

            steps = search(
                connection, pieces, bounds, self.words, self.filters.text, self.newest
            )
            async for step in steps:
                yield step
            return

        # Conditions may be met by few rows, and packs are not read in order: then a
        # slice is scanned bit by bit, so that the time that a search may take is kept
        # within an hour of many rows.
        def scan(bit: Slice) -> Awaitable[list[Line]]:
            return self._scan(connection, bit, position, size)

        pace = Pace()
        for piece in pieces:
            if self.trace_id is None and (self.clauses.texts or piece.packed):
                bits = pace.read(connection, piece, scan, newest=self.newest)
                async for lines, edge in bits:
                    yield lines or [], Position(edge)
            else:
                edge = piece.lower if self.newest else piece.upper
                yield await scan(piece), Position(edge)

    def _bounds(self, piece: Slice, position: Position | None) -> Clauses:
        """What the rows of a slice must fulfil beside the text."""
        clauses = keyset(piece, position, newest=self.newest)
        clauses.extend(self.clauses)
        return clauses

    async def _scan(
        self,
        connection: store.Connection,
        piece: Slice,
        position: Position | None,
        size: int,
    ) -> list[Line]:
        traces = None if self.trace_id is None else [self.trace_id]
        source = stored(piece, traces=traces)
        clauses = self._bounds(piece, position)
        # The order's expression is no indexed column: of a trace's few lines none is
        # looked for along the time index.
        column = "l.time" if traces is None else "l.time + '0'::interval"
        direction = "DESC" if self.newest else "ASC"
        statement = " ".join(
            [
                "SELECT", COLUMNS, "FROM", str(source), "AS l",
                "WHERE", str(clauses), "ORDER BY",
                f"{column} {direction}, l.time_nanos {direction}, l.seq {direction}",
                "LIMIT %s",
            ]
        )  # fmt: skip # the statement as it reads
        values = [*source.values, *clauses.values, size]
        rows = await fetch(connection, statement, values)
        return [Line.of(row) for row in rows]


def keyset(piece: Slice, position: Position | None, *, newest: bool) -> Clauses:
    """The rows of a slice that come after *position*."""
    clauses = Clauses()
    clauses.add("l.time >= %s AND l.time < %s", piece.lower, piece.upper)
    if position:
        side = "<" if newest else ">"
        clauses.add(
            f"(l.time, l.time_nanos, l.seq) {side} (%s, %s::smallint, %s::bigint)",
            position.time, position.nanos, position.seq,
        )  # fmt: skip # three values of one tuple
    return clauses


async def prepare(
    connection: store.Connection,
    filters: Filters,
    since: datetime | None,
    until: datetime | None,
    *,
    newest: bool,
    more: Clauses | None = None,
    pieces: list[Slice] | None = None,
) -> Walk:
    """Find the slices of a question, unless its trace is in *pieces* alone.

    *more* are conditions beside its filters.

    Raises:
        FilterError: the trace id is ambiguous, or a pattern is none.
    """
    await check_patterns(connection, filters)
    clauses = row_clauses(filters)
    if more:
        clauses.extend(more)
    found = await filter_words(connection, filters)
    if filters.trace is None:
        whole = await slices(connection, "logs", since, until)
        return Walk(filters, whole, clauses, found, newest)
    trace_id = await whole_trace_id(connection, filters.trace)
    if trace_id is None:
        return Walk(filters, [], clauses, found, newest)
    clauses.add("l.trace_id = %s", trace_id)
    if pieces is None:
        pieces = await trace_slices(connection, trace_id)
    cut = [piece.cut(since, until) for piece in pieces]
    cut = [piece for piece in cut if piece.lower < piece.upper]
    return Walk(filters, cut, clauses, found, newest, trace_id)
