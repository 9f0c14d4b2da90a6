"""One trace with its lines, looked up through ``trace_index`` without a window."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from godot_otel import store
from godot_otel.query.filters import LEVELS, Filters, TraceIds
from godot_otel.query.line import COLUMNS, Line, rfc3339
from godot_otel.query.logs import Page, read_page
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.slices import whole_trace_id

_ERROR = LEVELS["ERROR"]


@dataclass(frozen=True, slots=True)
class FirstError:
    """What is said of the line with which a trace began to fail."""

    service: str
    logger: str
    body: str
    failure: str
    seq: int

    @classmethod
    def of(cls, line: Line) -> FirstError:
        """Take it from the line."""
        return cls(line.service, line.logger, line.body, line.failure, line.seq)


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace, all its services together."""

    id: str
    first: datetime
    last: datetime
    lines: int
    errors: int
    components: list[str]
    first_error: FirstError | None = None
    """Looked for only where traces are listed."""

    @property
    def duration(self) -> timedelta:
        """From its first line to its last, as there are no spans."""
        return self.last - self.first

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        answer = {
            "trace_id": self.id,
            "start": rfc3339(self.first, 0),
            "duration_ms": round(self.duration / timedelta(milliseconds=1), 3),
            "lines": self.lines,
            "errors": self.errors,
            "components": self.components,
        }
        if self.first_error:
            answer["first_error"] = asdict(self.first_error)
        return answer


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
        known = {} if trace_id is None else await summaries(connection, [trace_id])
        if trace_id is None or trace_id not in known:
            page = await read_page(reader, connection, filters, limit=1, order="oldest")
            return TraceLines(None, None, page)
        filters = replace(filters, trace=TraceIds(trace_id, trace_id))
        page = await read_page(
            reader, connection, filters, limit=limit, order="oldest", cursor=cursor
        )
        first_error = None
        if known[trace_id].errors:
            first_error = _first_error(page, cursor)
            if first_error is None:
                errors = await first_errors(connection, [trace_id])
                first_error = errors.get(trace_id.hex)
    return TraceLines(known[trace_id], first_error, page)


def _first_error(page: Page, cursor: str) -> Line | None:
    """The trace's first error, if *page* is sure to have it."""
    if cursor or not set(page.given) <= {"trace_id", "level"}:
        return None
    return next((one for one in page.lines if one.severity >= _ERROR), None)


async def summaries(
    connection: store.Connection, ids: Collection[UUID]
) -> dict[UUID, Trace]:
    """What the index knows of whole traces."""
    rows = await fetch(
        connection,
        "SELECT trace_id, min(first), max(last), sum(lines)::bigint,"
        " sum(errors)::bigint, array_agg(DISTINCT service ORDER BY service)"
        " FROM trace_index WHERE trace_id = ANY(%s) GROUP BY trace_id",
        [list(ids)],
    )
    return {trace_id: Trace(trace_id.hex, *rest) for trace_id, *rest in rows}


async def first_errors(
    connection: store.Connection, ids: Collection[UUID]
) -> dict[str, Line]:
    """The first error of each trace, by its id in hex."""
    rows = await fetch(
        connection,
        "SELECT p.lower, min(t.first), max(t.last), array_agg(DISTINCT t.trace_id)"
        " FROM trace_index AS t JOIN partitions AS p ON p.parent = 'logs'"
        " AND t.first >= p.lower AND t.first < p.upper"
        " WHERE t.trace_id = ANY(%s) AND t.errors > 0"
        " GROUP BY p.lower ORDER BY p.lower",
        [list(ids)],
    )
    found: dict[str, Line] = {}
    for _, first, last, having in rows:
        lines = await fetch(
            connection,
            "SELECT DISTINCT ON (l.trace_id) {columns} FROM logs AS l"
            " WHERE l.time BETWEEN %s AND %s AND l.trace_id = ANY(%s)"
            " AND l.severity >= %s"
            " ORDER BY l.trace_id, l.time, l.time_nanos, l.seq",
            [first, last, having, _ERROR],
            columns=COLUMNS,
        )
        for line in map(Line.of, lines):
            if line.trace_id:
                found.setdefault(line.trace_id, line)
    return found
