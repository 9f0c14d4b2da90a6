"""What kinds of lines there are, how many of each, and what changed against before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from godot_otel import store
from godot_otel.query.baseline import Baseline, baseline
from godot_otel.query.clauses import row_clauses
from godot_otel.query.counts import Count, Counted, count, rollup_clauses
from godot_otel.query.dictionary import OTHER, templates
from godot_otel.query.emptiness import why_empty
from godot_otel.query.filters import FilterError, Filters, level_name
from godot_otel.query.freshness import Ingest, ingest
from godot_otel.query.line import COLUMNS, Line, rfc3339
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.slices import slices

MAX_LIMIT = 100
_USABLE = {
    "component", "logger", "environment", "version", "level", "since", "until",
    "search", "where",
}  # fmt: skip # names of filters
_FOLD = 2.0  # as many times more, or fewer, is a change
_BY = ("template", "level", "service")


@dataclass(slots=True)
class Pattern:
    """All lines of one template."""

    id: int
    severity: int = 0
    """The highest of its lines."""
    services: set[str] = field(default_factory=set)
    now: Count | None = None
    """Its lines in the window; None: gone."""
    before: Count | None = None
    """Its lines in what is compared with."""
    share: float = 0.0
    """Of all lines that were counted in the window."""
    change: str = ""
    """new, gone, x3.0 or x0.2; empty where it is about as before."""
    weight: float = 0.0
    """How many lines more or fewer than were to be expected."""
    logger: str = ""
    template: str = OTHER
    known_since: datetime | None = None
    """When the store first met the template."""
    example: Line | None = None
    """Its newest line."""

    @property
    def lines(self) -> int:
        """How many lines of it the window has."""
        return self.now.lines if self.now else 0

    @property
    def seen(self) -> Count:
        """When it was seen: in the window, or before where it is gone."""
        seen = self.now or self.before
        assert seen is not None
        return seen

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        return {
            "change": self.change or None,
            "level": level_name(self.severity),
            "lines": self.lines,
            "share": round(self.share, 4),
            "lines_before": self.before.lines if self.before else 0,
            "first_seen": rfc3339(self.seen.first, 0),
            "last_seen": rfc3339(self.seen.last, 0),
            "known_since": rfc3339(self.known_since) if self.known_since else None,
            "services": sorted(self.services),
            "logger": self.logger,
            "template": self.template,
            "example": self.example.as_json() if self.example else None,
        }


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
    compared: Baseline | None
    ingest: Ingest
    notes: list[str]
    given: dict[str, str]

    def window(self) -> dict[str, str | None]:
        """The effective window as doors print it."""
        return {
            "since": rfc3339(self.since) if self.since else None,
            "until": rfc3339(self.until) if self.until else "now",
        }

    def facts(self) -> dict[str, Any]:
        """All but the patterns themselves, in the shape that every door gives."""
        return {
            "lines": self.lines,
            "omitted_patterns": self.omitted,
            "window": self.window(),
            "compared_with": self.compared.sentence() if self.compared else None,
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
    async with reader.connection() as connection:
        other = None
        if compare_to.strip():
            other = await baseline(connection, filters, compare_to, since, until)
        now, before = await _counts(connection, filters, since, until, other)
        found = _patterns(filters, now, before, other)
        shown = found[:limit]
        await _names(connection, shown)
        await _examples(connection, filters, other, shown)
        facts = await ingest(reader, connection, since)
        notes = [*now.notes(), *await _doubts(connection, filters, before, other)]
        if not found and not now.stopped:
            notes += await why_empty(connection, filters, since, until, facts)
    return Patterns(
        patterns=shown,
        omitted=len(found) - len(shown),
        lines=sum(one.lines for one in found),
        since=since,
        until=until,
        compared=other,
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


def _patterns(
    filters: Filters, now: Counted, before: Counted | None, other: Baseline | None
) -> list[Pattern]:
    """Put both counts together, the most telling first."""
    scale = 1.0
    if before is not None and other is not None and other.version:
        scale = _total(now.groups.values()) / max(1, _total(before.groups.values()))
    found: dict[int, Pattern] = {}
    for counted, side in ((now, "now"), (before, "before")):
        for (template, severity, service), one in (
            counted.groups.items() if counted else ()
        ):
            if severity < filters.severity:
                continue
            pattern = found.setdefault(template, Pattern(template))
            pattern.severity = max(pattern.severity, severity)
            pattern.services.add(service)
            known = getattr(pattern, side)
            if known:
                known.add(one)
            else:
                setattr(pattern, side, replace(one))
    total = sum(pattern.lines for pattern in found.values())
    for pattern in found.values():
        pattern.share = pattern.lines / max(1, total)
        if before is not None:
            _compare(pattern, scale)
    return sorted(
        found.values(),
        key=lambda one: (
            not one.change, -one.weight, -one.lines, -one.severity, one.id,
        ),
    )  # fmt: skip # the order of telling


def _total(counts: Iterable[Count]) -> int:
    return sum(one.lines for one in counts)


def _compare(pattern: Pattern, scale: float) -> None:
    expected = pattern.before.lines * scale if pattern.before else 0.0
    if pattern.before is None:
        pattern.change = "new"
    elif pattern.now is None:
        pattern.change = "gone"
    else:
        fold = pattern.lines / expected if expected else _FOLD
        if not 1 / _FOLD < fold < _FOLD:
            pattern.change = f"x{fold:.0f}" if fold >= 10 else f"x{fold:.2g}"
    if pattern.change:
        pattern.weight = abs(pattern.lines - expected)


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
    for one in found:
        gone = other is not None and one.now is None
        clauses = row_clauses(other.filters if gone and other else filters)
        rows = await fetch(
            connection,
            "SELECT {columns} FROM logs AS l"
            " WHERE l.time = %s AND l.template_id = %s AND {clauses} LIMIT 1",
            [one.seen.last, one.id, *clauses.values],
            columns=COLUMNS,
            clauses=clauses,
        )
        one.example = Line.of(rows[0]) if rows else None
