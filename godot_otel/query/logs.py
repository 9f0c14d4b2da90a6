"""Finding lines: slice after slice until the page is full."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from godot_otel.query import cursor as cursors
from godot_otel.query.cursor import Position
from godot_otel.query.emptiness import why_empty
from godot_otel.query.filters import FilterError, Filters
from godot_otel.query.freshness import Answer, Ingest, answering
from godot_otel.query.line import Line, window
from godot_otel.query.reader import Reader
from godot_otel.query.slices import Slice
from godot_otel.query.walk import prepare

MAX_LIMIT = 1000
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
    follows: bool = False
    """Whether lines are in the order of seq, and the cursor waits for more."""
    around: int | None = None
    """The seq of the line whose neighbours these are."""

    def cursor_after(self, line: Line) -> str | None:
        """The cursor of a page that ended with *line* already."""
        if self.around is not None:
            return None
        if self.follows:
            return cursors.encode(self.digest, None, None, line.seq)
        return _cursor(self.digest, self.since, self.until, line.position)

    def window(self) -> dict[str, str | None]:
        """The effective window as doors print it."""
        return window(self.since, self.until)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a page; made by ``question``."""

    filters: Filters
    since: datetime | None
    until: datetime | None
    limit: int
    newest: bool
    digest: str
    position: Position | None
    """Where the page before ended."""


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
    asked = question(filters, limit=limit, order=order, cursor=cursor)
    async with answering(reader, asked.since) as answer:
        return await read_page(answer, asked)


def question(filters: Filters, *, limit: int, order: str, cursor: str = "") -> Question:
    """Check what is asked of a page of lines; see ``logs``."""
    newest = _order(order)
    if not 1 <= limit <= MAX_LIMIT:
        raise FilterError(f"limit: {limit} is not within 1 to {MAX_LIMIT}")
    digest = filters.digest("logs", "newest" if newest else "oldest")
    since, until, position = filters.since, filters.until, None
    if cursor.strip():
        since, until, *numbers = cursors.decode(cursor, digest, 3)
        position = cursors.position(numbers)
    return Question(filters, since, until, limit, newest, digest, position)


async def read_page(
    answer: Answer, asked: Question, pieces: list[Slice] | None = None
) -> Page:
    """What ``logs`` promises.

    *pieces* are where the lines of the filters' trace are, if that is known.
    """
    connection, filters, limit = answer.connection, asked.filters, asked.limit
    since, until = asked.since, asked.until
    walk = await prepare(
        connection, filters, since, until, newest=asked.newest, pieces=pieces
    )
    found, edge = await walk.read(connection, asked.position, limit + 1)
    notes = []
    if not found and edge is None and asked.position is None:
        notes = await why_empty(connection, filters, since, until, answer.ingest)
    at = found[limit - 1].position if len(found) > limit else edge
    return Page(
        lines=found[:limit],
        since=since,
        until=until,
        next_cursor=_cursor(asked.digest, since, until, at) if at else None,
        ingest=answer.ingest,
        notes=notes,
        searched_to=edge.time if edge and len(found) <= limit else None,
        digest=asked.digest,
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
