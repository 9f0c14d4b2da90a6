"""Finding traces, and one trace with its lines, through ``trace_index`` alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from godot_otel import store
from godot_otel.query import cursor as cursors
from godot_otel.query.clauses import Clauses, name_clause
from godot_otel.query.emptiness import why_empty
from godot_otel.query.filters import LEVELS, FilterError, Filters, TraceIds
from godot_otel.query.freshness import Ingest, ingest
from godot_otel.query.line import Line, rfc3339
from godot_otel.query.logs import Page, logs
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.slices import ahead, slices, whole_trace_id

MAX_LIMIT = 200
_CANDIDATES = 200  # rows of the index looked at together
_USABLE = {"component", "since", "until", "level"}


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace, all its services together."""

    id: str
    first: datetime
    last: datetime
    lines: int
    errors: int
    components: list[str]

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        duration = (self.last - self.first).total_seconds() * 1000
        return {
            "trace_id": self.id,
            "start": rfc3339(self.first, 0),
            "duration_ms": round(duration, 3),
            "lines": self.lines,
            "errors": self.errors,
            "components": self.components,
        }


@dataclass(frozen=True, slots=True)
class Traces:
    """A page of traces."""

    traces: list[Trace]
    since: datetime | None
    until: datetime | None
    next_cursor: str | None
    ingest: Ingest
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TraceLines:
    """A trace and a page of its lines, oldest first; None: no such trace is stored."""

    trace: Trace | None
    first_error: Line | None
    page: Page


async def trace(
    reader: Reader, filters: Filters, *, limit: int = 1000, cursor: str = ""
) -> TraceLines:
    """Return the trace that ``filters.trace`` means, with its lines in time order.

    Raises:
        FilterError: the id is the beginning of several.
    """
    assert filters.trace is not None
    async with reader.connection() as connection:
        trace_id = await whole_trace_id(connection, filters.trace)
        known = {} if trace_id is None else await _summaries(connection, [trace_id])
    if trace_id is None or trace_id not in known:
        return TraceLines(None, None, await logs(reader, filters, limit=1))
    filters = replace(filters, trace=TraceIds(trace_id, trace_id))
    page = await logs(reader, filters, limit=limit, order="oldest", cursor=cursor)
    first_error = None
    if known[trace_id].errors:
        errors = replace(Filters(), trace=filters.trace, severity=LEVELS["ERROR"])
        found = await logs(reader, errors, limit=1, order="oldest")
        first_error = next(iter(found.lines), None)
    return TraceLines(known[trace_id], first_error, page)


async def last_trace(reader: Reader, *, errors: bool = False) -> Trace | None:
    """The trace that wrote last; with *errors*, the last one that wrote an error."""
    page = await traces(reader, Filters(), errors=errors, limit=1)
    return next(iter(page.traces), None)


async def traces(
    reader: Reader,
    filters: Filters,
    *,
    errors: bool = False,
    sort: str = "recent",
    limit: int = 20,
    cursor: str = "",
) -> Traces:
    """Return traces that wrote in the window, by their newest line or most errors.

    With *errors* (or a level of ERROR) only those in which the component failed.

    Raises:
        FilterError: sort, limit or cursor is none, or a filter is not for traces.
    """
    errors = errors or filters.severity > 0
    _check(filters, sort, limit)
    digest = filters.digest("traces", sort, str(errors))
    since, until, at = filters.since, filters.until, None
    if cursor.strip():
        since, until, *at = cursors.decode(cursor, digest, 3)
    search = _Search(filters, since, until, errors or sort == "errors")
    async with reader.connection() as connection:
        read = search.recent if sort == "recent" else search.most_errors
        keys = await read(connection, at, limit + 1)
        known = await _summaries(connection, [key[-1] for key in keys])
        facts = await ingest(reader, connection, since)
        notes = []
        if not keys and at is None:
            notes = await why_empty(connection, filters, since, until, facts)
    shown = [key for key in keys[:limit] if key[-1] in known]
    last = keys[limit - 1] if len(keys) > limit else None
    return Traces(
        traces=[known[key[-1]] for key in shown],
        since=since,
        until=until,
        next_cursor=cursors.encode(digest, since, until, *_packed(last))
        if last
        else None,
        ingest=facts,
        notes=notes,
    )


Key = tuple[int, datetime, UUID]
"""Where a trace stands: its errors (0 where they do not order), newest line and id."""


def _packed(key: Key) -> tuple[int, datetime, str]:
    return key[0], key[1], key[2].hex


def _unpacked(at: list[Any]) -> Key:
    try:
        time = cursors.moment(int(at[1]))
        assert time is not None
        return int(at[0]), time, UUID(hex=str(at[2]))
    except (TypeError, ValueError, OverflowError):
        raise FilterError("cursor: not one that an earlier answer gave") from None


def _check(filters: Filters, sort: str, limit: int) -> None:
    if sort not in ("recent", "errors"):
        raise FilterError(f"sort: {sort!r} is neither recent nor errors")
    if not 1 <= limit <= MAX_LIMIT:
        raise FilterError(f"limit: {limit} is not within 1 to {MAX_LIMIT}")
    if more := sorted(set(filters.given) - _USABLE):
        raise FilterError(f"{more[0]}: traces are not found by this; ask for lines")
    if filters.severity and filters.severity != LEVELS["ERROR"]:
        raise FilterError("level: traces are found by ERROR alone")


@dataclass(frozen=True, slots=True)
class _Search:
    filters: Filters
    since: datetime | None
    until: datetime | None
    errors: bool

    def _matching(self) -> Clauses:
        clauses = Clauses()
        if self.filters.component:
            name_clause(clauses, "service", self.filters.component)
        if self.errors:
            clauses.add("errors > 0")
        if self.until:
            clauses.add("last < %s", self.until)
        return clauses

    async def recent(
        self, connection: store.Connection, at: list[Any] | None, size: int
    ) -> list[Key]:
        """Walk the index backwards; a trace stands where its newest row does."""
        before = _unpacked(at) if at else None
        position = cursors.Position(before[1]) if before else None
        found: dict[UUID, Key] = {}
        pieces = await slices(connection, "logs", self.since, self.until)
        for piece in ahead(pieces, position, newest=True):
            inside = Clauses()
            # rows of the index lie whole within a partition of logs
            inside.add("first >= %s AND first < %s", piece.floor, piece.ceiling)
            inside.add("last >= %s AND last < %s", piece.lower, piece.upper)
            inside.extend(self._matching())
            while rows := await self._candidates(connection, inside, before):
                newest = await self._newest(connection, {row[1] for row in rows})
                for last, trace_id in rows:
                    if newest.get(trace_id) == last:
                        found.setdefault(trace_id, (0, last, trace_id))
                before = (0, *rows[-1])
                if len(found) >= size:
                    return list(found.values())[:size]
        return list(found.values())

    async def _candidates(
        self, connection: store.Connection, inside: Clauses, before: Key | None
    ) -> list[tuple[Any, ...]]:
        clauses = Clauses()
        clauses.extend(inside)
        if before:
            clauses.add("(last, trace_id) < (%s, %s)", before[1], before[2])
        return await fetch(
            connection,
            "SELECT last, trace_id FROM trace_index WHERE {clauses}"
            " ORDER BY last DESC, trace_id DESC LIMIT %s",
            [*clauses.values, _CANDIDATES],
            clauses=clauses,
        )

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

    async def most_errors(
        self, connection: store.Connection, at: list[Any] | None, size: int
    ) -> list[Key]:
        """Sum the window's errors for each trace."""
        clauses = self._matching()
        if self.since:
            clauses.add("first >= %s", self.since)
        after = Clauses()
        if at:
            key = _unpacked(at)
            after.add("(sum(errors), max(last), trace_id) < (%s, %s, %s)", *key)
        rows = await fetch(
            connection,
            "SELECT sum(errors), max(last), trace_id FROM trace_index"
            " WHERE {clauses} GROUP BY trace_id HAVING {after}"
            " ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT %s",
            [*clauses.values, *after.values, size],
            clauses=clauses,
            after=after,
        )
        return [(int(errors), last, trace_id) for errors, last, trace_id in rows]


async def _summaries(
    connection: store.Connection, ids: list[UUID]
) -> dict[UUID, Trace]:
    rows = await fetch(
        connection,
        "SELECT trace_id, min(first), max(last), sum(lines)::bigint,"
        " sum(errors)::bigint, array_agg(DISTINCT service ORDER BY service)"
        " FROM trace_index WHERE trace_id = ANY(%s) GROUP BY trace_id",
        [ids],
    )
    return {trace_id: Trace(trace_id.hex, *rest) for trace_id, *rest in rows}
