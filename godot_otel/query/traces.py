"""Finding traces: through ``trace_index``, or by their lines and spans."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from godot_otel.query import cursor as cursors
from godot_otel.query.emptiness import why_empty
from godot_otel.query.filters import LEVELS, FilterError, Filters
from godot_otel.query.freshness import Ingest, answering
from godot_otel.query.line import Line, window
from godot_otel.query.reader import Reader
from godot_otel.query.root import roots
from godot_otel.query.trace import FirstError, Trace, first_errors, summaries
from godot_otel.query.trace_lines import RowSearch
from godot_otel.query.trace_search import IndexSearch, packed, unpacked

MAX_LIMIT = 200
SORTS = ("recent", "slowest", "errors")
_INDEXED = {"component", "since", "until", "level"}
_ERROR = LEVELS["ERROR"]
_LONGEST = 365 * 86_400_000  # milliseconds


@dataclass(frozen=True, slots=True)
class Traces:
    """A page of traces."""

    traces: list[Trace]
    since: datetime | None
    until: datetime | None
    next_cursor: str | None
    ingest: Ingest
    notes: list[str] = field(default_factory=list)
    searched_to: datetime | None = None
    """Where a long search stopped before the end of its window."""
    given: dict[str, str] = field(default_factory=dict)
    cursors: list[str] = field(default_factory=list)
    """For each trace, the cursor of a page that ended with it."""

    def window(self) -> dict[str, str | None]:
        """The effective window as doors print it."""
        return window(self.since, self.until)


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
    min_duration_ms: float = 0.0,
    limit: int = 20,
    cursor: str = "",
) -> Traces:
    """Return traces with a line or a span in the window that matches.

    By their newest such row, or the longest first, or those with most errors. With
    *errors* only those that failed; of a component, those in which it did. Where the
    filters name an operation, *min_duration_ms* is of its span.

    Raises:
        FilterError: sort, limit or cursor is none, or a filter is not for traces.
    """
    _check(filters, sort, min_duration_ms, limit)
    errors = errors or sort == "errors"
    indexed = set(filters.given) <= _INDEXED and filters.severity in (0, _ERROR)
    digest = filters.digest("traces", sort, str(errors), str(min_duration_ms))
    since, until, after = filters.since, filters.until, None
    if cursor.strip():
        since, until, *numbers = cursors.decode(cursor, digest, 3)
        after = unpacked(numbers)
    shortest = timedelta(milliseconds=min_duration_ms)
    search: IndexSearch | RowSearch
    if indexed:
        failed = errors or filters.severity > 0
        search = IndexSearch(filters, since, until, failed, shortest)
    else:
        search = RowSearch(filters, since, until, errors, shortest)
    async with answering(reader, since) as answer:
        connection, facts = answer.connection, answer.ingest
        if sort == "recent":
            found = await search.recent(connection, after, limit + 1)
        else:
            found = await search.ranked(connection, after, limit + 1, sort)
        ids = [key[2] for key in found.keys[:limit]]
        known = await summaries(connection, ids)
        failures = await first_errors(
            connection, [one for one in ids if one in known and known[one].errors]
        )
        began = await roots(
            connection, [one for one in ids if one in known and known[one].spans]
        )
        notes = []
        if not found.keys and after is None and found.edge is None:
            notes = await why_empty(
                connection, filters, since, until, facts, spans=True
            )
    if found.edge and sort != "recent":
        since = found.edge  # the pages that follow rank the same traces
    at = found.next(limit, ranked=sort != "recent")
    return Traces(
        traces=[
            replace(
                known[one],
                first_error=_first(failures.get(one.hex)),
                root=began.get(one.hex),
            )
            for one in ids
            if one in known
        ],
        since=since,
        until=until,
        next_cursor=cursors.encode(digest, since, until, *packed(at)) if at else None,
        ingest=facts,
        notes=notes,
        searched_to=found.edge,
        given=filters.given,
        cursors=[
            cursors.encode(digest, since, until, *packed(key))
            for key in found.keys[:limit]
            if key[2] in known
        ],
    )


def _first(line: Line | None) -> FirstError | None:
    return FirstError.of(line) if line else None


def _check(filters: Filters, sort: str, min_duration_ms: float, limit: int) -> None:
    if sort not in SORTS:
        raise FilterError(f"sort: {sort!r} is none of {', '.join(SORTS)}")
    if not 1 <= limit <= MAX_LIMIT:
        raise FilterError(f"limit: {limit} is not within 1 to {MAX_LIMIT}")
    if not 0 <= min_duration_ms <= _LONGEST:
        raise FilterError(f"min_duration_ms: it is not within 0 to {_LONGEST}")
    for name in ("trace_id", "span_id"):
        if name in filters.given:
            raise FilterError(f"{name}: traces are not found by this; ask for lines")
