"""Finding lines: slice after slice until the page is full."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from godot_otel import store
from godot_otel.query import cursor as cursors
from godot_otel.query.clauses import Clauses, filter_words, row_clauses
from godot_otel.query.cursor import Position
from godot_otel.query.emptiness import why_empty
from godot_otel.query.filters import FilterError, Filters
from godot_otel.query.freshness import Ingest, ingest
from godot_otel.query.line import COLUMNS, Line, rfc3339
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.search import search_slice
from godot_otel.query.slices import (
    Pace,
    Slice,
    ahead,
    slices,
    trace_slices,
    whole_trace_id,
)

MAX_LIMIT = 1000
TIME_BUDGET = 1.5  # seconds after which a search gives what it has, and a cursor
ORDERS = {"newest": True, "desc": True, "oldest": False, "asc": False}


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: lines, the window they are from, how to go on, how fresh it is."""

    lines: list[Line]
    since: datetime | None
    until: datetime | None
    """None: open towards now."""
    next_cursor: str | None
    ingest: Ingest
    notes: list[str] = field(default_factory=list)
    searched_to: datetime | None = None
    """Where a long search stopped before the end of its window; the cursor goes on."""
    digest: str = ""
    given: dict[str, str] = field(default_factory=dict)
    """The filters as they were written."""

    def cursor_after(self, line: Line) -> str:
        """The cursor of a page that ended with *line* already."""
        return _cursor(self.digest, self.since, self.until, line.position)

    def window(self) -> dict[str, str | None]:
        """The effective window as doors print it."""
        return {
            "since": rfc3339(self.since) if self.since else None,
            "until": rfc3339(self.until) if self.until else "now",
        }


async def logs(
    reader: Reader,
    filters: Filters,
    *,
    limit: int = 50,
    order: str = "newest",
    cursor: str = "",
) -> Page:
    """Return up to *limit* lines that match, and the cursor of the next page.

    Pages joined by their cursors are the whole result in order, nothing twice.

    Raises:
        FilterError: the order, limit or cursor is none, or the trace id is ambiguous.
        StoreUnreachableError: see ``Reader.connection``.
    """
    newest = _order(order)
    if not 1 <= limit <= MAX_LIMIT:
        raise FilterError(f"limit: {limit} is not within 1 to {MAX_LIMIT}")
    digest = filters.digest("logs", "newest" if newest else "oldest")
    since, until, position = filters.since, filters.until, None
    if cursor.strip():
        since, until, *numbers = cursors.decode(cursor, digest, 3)
        position = cursors.position(numbers)
    async with reader.connection() as connection:
        walk = await _prepare(connection, filters, since, until, newest=newest)
        found, edge = await walk.read(connection, position, limit + 1)
        facts = await ingest(reader, connection, since)
        notes = []
        if not found and edge is None and position is None:
            notes = await why_empty(connection, filters, since, until, facts)
    at = found[limit - 1].position if len(found) > limit else edge
    return Page(
        lines=found[:limit],
        since=since,
        until=until,
        next_cursor=_cursor(digest, since, until, at) if at else None,
        ingest=facts,
        notes=notes,
        searched_to=edge.time if edge and len(found) <= limit else None,
        digest=digest,
        given=filters.given,
    )


def _order(order: str) -> bool:
    if order.strip().lower() not in ORDERS:
        raise FilterError(f"order: {order!r} is neither newest nor oldest")
    return ORDERS[order.strip().lower()]


def _cursor(
    digest: str, since: datetime | None, until: datetime | None, at: Position
) -> str:
    return cursors.encode(digest, since, until, at.time, at.nanos, at.seq)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Slices to read and what their rows must fulfil."""

    filters: Filters
    pieces: list[Slice]
    clauses: Clauses
    words: list[str]
    newest: bool

    async def read(
        self, connection: store.Connection, position: Position | None, size: int
    ) -> tuple[list[Line], Position | None]:
        """Read up to *size* lines; with them where the time ran out, if it did."""
        found: list[Line] = []
        deadline = time.monotonic() + TIME_BUDGET
        pace = Pace()
        pieces = ahead(self.pieces, position, newest=self.newest)
        for number, piece in enumerate(pieces):
            steps = self._slice(connection, piece, position, size, pace)
            async for lines, edge in steps:
                found += lines
                if len(found) >= size:
                    return found[:size], None
                last = number == len(pieces) - 1 and edge.time in (
                    piece.lower,
                    piece.upper,
                )
                if time.monotonic() > deadline and not last:
                    return found, edge
        return found, None

    async def _slice(
        self,
        connection: store.Connection,
        piece: Slice,
        position: Position | None,
        size: int,
        pace: Pace,
    ) -> AsyncIterator[tuple[list[Line], Position]]:
        if self.words:
            clauses = keyset(piece, position, newest=self.newest)
            clauses.extend(self.clauses)
            async for step in search_slice(
                connection, piece, clauses, self.words, self.filters.text, self.newest
            ):
                yield step
            return
        # Conditions may be met by few rows: then a slice is scanned bit by bit, so
        # that the time that a search may take is kept within an hour of many rows.
        bits: Iterable[Slice] = [piece]
        if self.clauses.texts and self.filters.trace is None:
            bits = pace.cut(piece, newest=self.newest)
        for bit in bits:
            lines = await self._scan(connection, bit, position, size)
            yield lines, Position(bit.lower if self.newest else bit.upper)

    async def _scan(
        self,
        connection: store.Connection,
        piece: Slice,
        position: Position | None,
        size: int,
    ) -> list[Line]:
        clauses = keyset(piece, position, newest=self.newest)
        clauses.extend(self.clauses)
        # The order's expression is no indexed column: of a trace's few lines none is
        # looked for along the time index.
        column = "l.time" if self.filters.trace is None else "l.time + '0'::interval"
        direction = "DESC" if self.newest else "ASC"
        statement = " ".join(
            [
                "SELECT", COLUMNS, "FROM logs AS l WHERE", str(clauses), "ORDER BY",
                f"{column} {direction}, l.time_nanos {direction}, l.seq {direction}",
                "LIMIT %s",
            ]
        )  # fmt: skip # the statement as it reads
        rows = await fetch(connection, statement, [*clauses.values, size])
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


async def _prepare(
    connection: store.Connection,
    filters: Filters,
    since: datetime | None,
    until: datetime | None,
    *,
    newest: bool,
) -> _Walk:
    clauses = row_clauses(filters)
    found = await filter_words(connection, filters)
    if filters.trace is None:
        pieces = await slices(connection, "logs", since, until)
        return _Walk(filters, pieces, clauses, found, newest)
    pieces = []
    trace_id = await whole_trace_id(connection, filters.trace)
    if trace_id is not None:
        clauses.add("l.trace_id = %s", trace_id)
        pieces = await trace_slices(connection, trace_id, since, until)
    return _Walk(filters, pieces, clauses, found, newest)
