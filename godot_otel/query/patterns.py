"""What kinds of lines there are, how many of each, and what changed against before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from godot_otel import store
from godot_otel.query.baseline import Baseline, baseline
from godot_otel.query.clauses import Clauses, row_clauses
from godot_otel.query.counts import Counted, count, rollup_clauses
from godot_otel.query.dictionary import templates
from godot_otel.query.emptiness import why_empty
from godot_otel.query.filters import FilterError, Filters
from godot_otel.query.freshness import Ingest, answering
from godot_otel.query.line import COLUMNS, Line, window
from godot_otel.query.packs import stored
from godot_otel.query.pattern import Pattern, ranked
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.slices import MICROSECOND, slices

MAX_LIMIT = 100
_EXAMPLES = 20  # looked for by one statement, which locks a partition for each at most
_EXAMPLE = (
    "(SELECT {place}, {columns} FROM {source} AS l"
    " WHERE l.time = %s AND l.template_id = %s AND {clauses} LIMIT 1)"
)
_USABLE = {
    "component", "logger", "environment", "version", "level", "since", "until",
    "search", "where",
}  # fmt: skip # names of filters
_BY = ("template", "level", "service")


@dataclass(frozen=True, slots=True)
class Patterns:
    """The patterns of a window, changes first where it was compared."""

    patterns: list[Pattern]
    omitted: int
    """How many more there are."""
    lines: int
    """Of all patterns together, in the window."""
    since: datetime | None
    until: datetime | None
    compared: str
    """What with, for people; empty: with nothing."""
    ingest: Ingest
    notes: list[str]
    given: dict[str, str]

    def window(self) -> dict[str, str | None]:
        """The effective window as doors print it."""
        return window(self.since, self.until)

    def facts(self) -> dict[str, Any]:
        """All but the patterns themselves, in the shape that every door gives."""
        return {
            "lines": self.lines,
            "omitted_patterns": self.omitted,
            "window": self.window(),
            "compared_with": self.compared or None,
            "ingest": self.ingest.as_json(),
            "notes": self.notes,
        }


async def patterns(
    reader: Reader, filters: Filters, *, compare_to: str = "", limit: int = 20
) -> Patterns:
    """Count the lines of each template; against *compare_to*, changes come first.

    Minutes count whole. The rollups answer for component, environment and level; with
    other filters rows are counted for a bounded time, and the notes say how far.

    Raises:
        FilterError: a filter, *compare_to* or *limit* is none; see ``baseline``.
    """
    _check(filters, limit)
    assert filters.since is not None
    since, until = filters.since.replace(second=0, microsecond=0), filters.until
    async with answering(reader, since) as answer:
        connection, facts = answer.connection, answer.ingest
        other = None
        if compare_to.strip():
            other = await baseline(connection, filters, compare_to, since, until)
        now, before = await _counts(connection, filters, since, until, other)
        found = ranked(filters, now, before, other)
        shown = found[:limit]
        await _names(connection, shown)
        await _examples(connection, filters, other, shown)
        notes = [*now.notes(), *await _doubts(connection, filters, before, other)]
        if not found and not now.stopped:
            notes += await why_empty(connection, filters, since, until, facts)
    return Patterns(
        patterns=shown,
        omitted=len(found) - len(shown),
        lines=sum(one.lines for one in found),
        since=since,
        until=until,
        compared=other.sentence() if other else "",
        ingest=facts,
        notes=notes,
        given=filters.given,
    )


def _check(filters: Filters, limit: int) -> None:
    if more := sorted(set(filters.given) - _USABLE):
        raise FilterError(f"{more[0]}: patterns are not found by this; ask for lines")
    if not 1 <= limit <= MAX_LIMIT:
        raise FilterError(f"limit: {limit} is not within 1 to {MAX_LIMIT}")


async def _counts(
    connection: store.Connection,
    filters: Filters,
    since: datetime,
    until: datetime | None,
    other: Baseline | None,
) -> tuple[Counted, Counted | None]:
    """Count the window and what it is compared with.

    Versions take unequal traffic, so of those every level is counted.
    """
    if other is None:
        return await count(connection, filters, _BY, since=since, until=until), None
    severity = 0 if other.version else filters.severity
    now = await count(
        connection,
        replace(filters, severity=severity),
        _BY,
        since=since,
        until=until,
        more=other.others,
    )
    before = await count(
        connection,
        replace(other.filters, severity=severity),
        _BY,
        since=other.since,
        until=other.until,
    )
    return now, before


async def _doubts(
    connection: store.Connection,
    filters: Filters,
    before: Counted | None,
    other: Baseline | None,
) -> list[str]:
    """Say when the comparison proves little."""
    if before is None or other is None:
        return []
    if before.stopped:
        return [
            "what is compared with was counted in part only: new, gone and x are unsure"
        ]
    if before.groups or await _anything(connection, filters, other):
        return []
    return [
        "the store holds no lines at all of the time compared with: new proves nothing"
    ]


async def _anything(
    connection: store.Connection, filters: Filters, other: Baseline
) -> bool:
    clauses = rollup_clauses(replace(filters, severity=0))
    for piece in await slices(connection, "log_counts", other.since, other.until):
        if await fetch(
            connection,
            "SELECT FROM log_counts WHERE minute >= %s AND minute < %s AND {clauses}"
            " LIMIT 1",
            [piece.lower, piece.upper, *clauses.values],
            clauses=clauses,
        ):
            return True
    return False


async def _names(connection: store.Connection, found: list[Pattern]) -> None:
    known = await templates(connection, [one.id for one in found])
    for one in found:
        if template := known.get(one.id):
            one.logger, one.template = template.logger, template.text
            one.known_since = template.known_since


async def _examples(
    connection: store.Connection,
    filters: Filters,
    other: Baseline | None,
    found: list[Pattern],
) -> None:
    """Find the newest line of each by its time, which the counts know."""
    for one in range(0, len(found), _EXAMPLES):
        await _find_examples(connection, filters, other, found[one : one + _EXAMPLES])


async def _find_examples(
    connection: store.Connection,
    filters: Filters,
    other: Baseline | None,
    found: list[Pattern],
) -> None:
    """Look for all of them at once; each part of the statement reads one partition."""
    first = min(one.seen.last for one in found)
    end = max(one.seen.last for one in found) + MICROSECOND
    pieces = await slices(connection, "logs", first, end)
    parts = Clauses()
    for place, one in enumerate(found):
        moment = one.seen.last
        piece = next((p for p in pieces if p.lower <= moment < p.upper), None)
        if piece is None:  # dropped meanwhile
            continue
        source = stored(piece.cut(moment, moment + MICROSECOND))
        gone = other is not None and one.now is None
        clauses = row_clauses(other.filters if gone and other else filters)
        part = _EXAMPLE.format(
            place=place, columns=COLUMNS, source=source, clauses=clauses
        )
        parts.add(part, *source.values, moment, one.id, *clauses.values)
    if not parts.texts:
        return
    rows = await fetch(connection, " UNION ALL ".join(parts.texts), parts.values)
    for place, *row in rows:
        found[place].example = Line.of(tuple(row))
