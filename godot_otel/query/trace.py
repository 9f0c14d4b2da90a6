"""One trace with spans and lines, looked up by ``trace_index`` without a window."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from godot_otel import sql, store
from godot_otel.query.filters import LEVELS, Filters, TraceIds
from godot_otel.query.freshness import Answer, answering
from godot_otel.query.lending import Ask
from godot_otel.query.line import COLUMNS, Line, rfc3339
from godot_otel.query.linked import Linked, linked
from godot_otel.query.logs import MAX_LIMIT, Page, question, read_page
from godot_otel.query.packs import stored
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.root import Root
from godot_otel.query.slices import Slice, index_slices, whole_trace_id
from godot_otel.query.span import COLUMNS as SPAN_COLUMNS
from godot_otel.query.span import SOURCE, Span

MAX_SPANS = 10_000
NOT_SAMPLED = (
    "spans not sampled: by the flags of its lines, which are 0 (as they are where a"
    " sender sets none), nobody was to record them; its lines are all there"
)
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
    spans: int = 0
    span_errors: int = 0
    """How many of them failed."""
    root: Root | None = None
    """Looked for only where traces are listed; so is the next."""
    first_error: FirstError | None = None

    @property
    def duration(self) -> timedelta:
        """From its first span or line to the end of its last."""
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
            "spans": self.spans,
            "span_errors": self.span_errors,
        }
        if self.root:
            answer["root"] = self.root.as_json()
        if self.first_error:
            answer["first_error"] = asdict(self.first_error)
        return answer


@dataclass(frozen=True, slots=True)
class TraceLines:
    """A trace, its spans, and a page of its lines, oldest first.

    Without a trace there is none such in the store.
    """

    trace: Trace | None
    first_error: Line | None
    page: Page
    spans: list[Span] = field(default_factory=list)
    """All, or the failed and the longest of very many; with the first page alone."""
    linked: list[Linked] = field(default_factory=list)
    """The traces that its spans link to, or that link to them."""


async def trace(
    reader: Reader,
    filters: Filters,
    *,
    limit: int = 1000,
    cursor: str = "",
    tree: bool = False,
) -> TraceLines:
    """Return the trace that ``filters.trace`` means, with its lines in time order.

    With *tree*, where it has spans, *limit* and the span of *filters* are not for what
    is read: as many lines as a page may have, and the errors after them.

    Raises:
        FilterError: the id is the beginning of several.
    """
    assert filters.trace is not None
    index = _index_of(filters.trace.low) if filters.trace.whole else None
    async with answering(reader, filters.since, index) as answer:
        connection = answer.connection
        known = await _locate(answer, filters.trace)
        if known is None:
            asked = question(filters, limit=1, order="oldest")
            return TraceLines(None, None, await read_page(answer, asked))
        (summary, pieces), spans = known, list[Span]()
        trace_id = UUID(hex=summary.id)
        filters = replace(filters, trace=TraceIds(trace_id, trace_id))
        if summary.spans and not cursor.strip():
            spans = await trace_spans(connection, trace_id, pieces)
        tree = tree and bool(spans)
        if tree:
            filters, limit = replace(filters, span_id=b""), MAX_LIMIT
        asked = question(filters, limit=limit, order="oldest", cursor=cursor)
        page = await read_page(answer, asked, pieces)
        first_error = None
        if summary.errors:
            first_error = _first_error(page, cursor)
            if first_error is None:
                errors = await first_errors(connection, [trace_id])
                first_error = errors.get(trace_id.hex)
        if tree and page.next_cursor and summary.errors:
            page = await _with_errors(answer, filters, page, pieces)
        notes = [] if spans else page.notes  # no lines is no puzzle where spans are
        page = replace(page, notes=[*notes, *_notes(summary, spans, page)])
        others = await linked(connection, spans) if spans else []
    return TraceLines(summary, first_error, page, spans, others)


def _index_of(trace_id: UUID) -> Ask:
    return Ask(sql.query("trace"), {"trace_id": trace_id})


async def _locate(answer: Answer, ids: TraceIds) -> tuple[Trace, list[Slice]] | None:
    """What the index knows of a whole trace, and where its rows are."""
    if ids.whole:  # asked already
        trace_id, rows = ids.low, answer.rows
    else:
        found = await whole_trace_id(answer.connection, ids)
        if found is None:
            return None
        trace_id = found
        index = _index_of(trace_id)
        rows = await fetch(answer.connection, index.query, index.values)
    if not rows or rows[0][0] is None:
        return None
    pieces = [Slice(*row[7:]) for row in rows if row[7] is not None]
    pieces.sort(key=lambda piece: piece.lower)
    return Trace(trace_id.hex, *rows[0][:7]), pieces


async def trace_spans(
    connection: store.Connection, trace_id: UUID, pieces: list[Slice]
) -> list[Span]:
    """The spans of a trace by their start; of very many those that tell most."""
    found: list[Span] = []
    for piece in pieces:
        rows = await fetch(
            connection,
            "SELECT {columns} FROM {source} WHERE s.time >= %s AND s.time < %s"
            " AND s.trace_id = %s ORDER BY s.status = 2 DESC, s.duration_ns DESC"
            " LIMIT %s",
            [piece.lower, piece.upper, trace_id, MAX_SPANS],
            columns=SPAN_COLUMNS,
            source=SOURCE,
        )
        found += map(Span.of, rows)
    if len(found) > MAX_SPANS:
        found.sort(key=lambda one: (not one.failed, -one.duration_ns))
    return sorted(found[:MAX_SPANS], key=lambda one: one.start_ns)


async def _with_errors(
    answer: Answer, filters: Filters, page: Page, pieces: list[Slice]
) -> Page:
    """Add errors that come after the lines of a page that is not the last."""
    grave = replace(filters, severity=max(filters.severity, _ERROR))
    asked = question(grave, limit=MAX_LIMIT, order="oldest")
    errors = await read_page(answer, asked, pieces)
    have = {one.seq for one in page.lines}
    more = [one for one in errors.lines if one.seq not in have]
    return replace(page, lines=page.lines + more)


def _notes(summary: Trace, spans: list[Span], page: Page) -> list[str]:
    """What is to be known of a trace's spans."""
    if not summary.spans:
        flags = {one.flags for one in page.lines if one.flags is not None}
        return [NOT_SAMPLED] if flags and not any(one & 1 for one in flags) else []
    if spans and len(spans) < summary.spans:
        return [
            f"of {summary.spans} spans {len(spans)} were read: those that failed, and"
            " the longest"
        ]
    return []


def _first_error(page: Page, cursor: str) -> Line | None:
    """The trace's first error, if *page* is sure to have it."""
    if cursor or not set(page.given) <= {"trace_id", "level"}:
        return None
    return next((one for one in page.lines if one.failed), None)


async def summaries(
    connection: store.Connection, ids: Collection[UUID]
) -> dict[UUID, Trace]:
    """What the index knows of whole traces."""
    rows = await fetch(
        connection,
        "SELECT trace_id, min(first), max(last), sum(lines)::bigint,"
        " sum(errors)::bigint, array_agg(DISTINCT service ORDER BY service),"
        " sum(spans)::bigint, sum(span_errors)::bigint"
        " FROM trace_index WHERE trace_id = ANY(%s) GROUP BY trace_id",
        [list(ids)],
    )
    return {trace_id: Trace(trace_id.hex, *rest) for trace_id, *rest in rows}


async def first_errors(
    connection: store.Connection, ids: Collection[UUID]
) -> dict[str, Line]:
    """The first error of each trace, by its id in hex."""
    found: dict[str, Line] = {}
    for piece, having in await index_slices(connection, "logs", ids, failed=True):
        source = stored(piece, traces=having)
        lines = await fetch(
            connection,
            "SELECT DISTINCT ON (l.trace_id) {columns} FROM {source} AS l"
            " WHERE l.time >= %s AND l.time < %s AND l.trace_id = ANY(%s)"
            " AND l.severity >= %s"
            " ORDER BY l.trace_id, l.time, l.time_nanos, l.seq",
            [*source.values, piece.lower, piece.upper, having, _ERROR],
            columns=COLUMNS,
            source=source,
        )
        for line in map(Line.of, lines):
            if line.trace_id:
                found.setdefault(line.trace_id, line)
    return found
