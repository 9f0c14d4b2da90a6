"""Two traces beside each other: what the one did that the other did not, or longer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from godot_otel import store
from godot_otel.query.dictionary import templates
from godot_otel.query.failing import failing, reason
from godot_otel.query.filters import FilterError, Filters, TraceIds, level_name, parse
from godot_otel.query.reader import Reader, fetch
from godot_otel.query.slices import trace_slices, whole_trace_id
from godot_otel.query.span import Span, milliseconds
from godot_otel.query.trace import Trace, summaries, trace_spans
from godot_otel.query.tree import build

_TIMES = 1.5  # from how many times as many, or as long, on it is a difference
_LEAST_NS = 1_000_000  # shorter ones differ by chance


@dataclass(frozen=True, slots=True)
class Operation:
    """All spans of one name in one trace."""

    count: int = 0
    errors: int = 0
    duration_ns: int = 0
    """Of all together."""

    @property
    def mean_ns(self) -> float:
        """Of one."""
        return self.duration_ns / self.count if self.count else 0.0

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        return {
            "count": self.count,
            "errors": self.errors,
            "duration_ms": milliseconds(self.duration_ns),
        }


@dataclass(frozen=True, slots=True)
class Differs:
    """An operation that the traces do not have alike."""

    service: str
    name: str
    here: Operation
    there: Operation

    @property
    def change(self) -> str:
        """Only here, only there, or what is how many times as much here."""
        if not self.there.count:
            return "only here"
        if not self.here.count:
            return "only there"
        said = []
        if self.here.count != self.there.count:
            said.append(f"{_times(self.here.count, self.there.count)} as often")
        if _differ(self.here.mean_ns, self.there.mean_ns):
            said.append(f"{_times(self.here.mean_ns, self.there.mean_ns)} as long")
        if self.here.errors != self.there.errors:
            said.append(f"errors {self.here.errors} instead of {self.there.errors}")
        return ", ".join(said)

    @property
    def weight(self) -> tuple[bool, int]:
        """How much it says, the most first when sorted."""
        same = self.here.errors == self.there.errors
        return same, -abs(self.here.duration_ns - self.there.duration_ns)

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        return {
            "change": self.change,
            "service": self.service,
            "name": self.name,
            "here": self.here.as_json(),
            "there": self.there.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of lines that one trace has more of, or alone."""

    service: str
    level: str
    template: str
    here: int
    there: int

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        return {
            "service": self.service,
            "level": self.level,
            "template": self.template,
            "here": self.here,
            "there": self.there,
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two traces."""

    here: Trace
    there: Trace
    fails_here: str
    """In which service and operation, and why; empty where no span failed."""
    fails_there: str
    operations: list[Differs] = field(default_factory=list)
    templates: list[Kind] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        return {
            "here": self.here.as_json(),
            "there": self.there.as_json(),
            "fails_here": self.fails_here,
            "fails_there": self.fails_there,
            "operations": [one.as_json() for one in self.operations],
            "templates": [one.as_json() for one in self.templates],
        }


async def compare(reader: Reader, filters: Filters, other: str) -> Difference:
    """Say what the trace of *filters* has that the trace *other* has not, and back.

    Raises:
        FilterError: an id is none, of no trace that is stored, or of several.
    """
    assert filters.trace is not None
    try:
        wanted = parse(trace_id=other).trace
    except FilterError as error:
        raise FilterError(f"compare_to: {error}") from None
    assert wanted is not None
    async with reader.connection() as connection:
        here = await _known(connection, filters.trace, "trace id")
        there = await _known(connection, wanted, "compare_to")
        sides = [await _side(connection, one) for one in (here, there)]
        kinds = await _kinds(connection, sides[0].lines, sides[1].lines)
    return Difference(
        here,
        there,
        _fails(sides[0].spans),
        _fails(sides[1].spans),
        operations=operations(sides[0].spans, sides[1].spans),
        templates=kinds,
    )


def operations(here: Iterable[Span], there: Iterable[Span]) -> list[Differs]:
    """The operations that two traces' spans do not have alike, the weightiest first."""
    ours, theirs = _summed(here), _summed(there)
    pairs = [
        Differs(*key, ours.get(key, Operation()), theirs.get(key, Operation()))
        for key in {**ours, **theirs}
    ]
    return sorted((one for one in pairs if one.change), key=lambda one: one.weight)


def _summed(spans: Iterable[Span]) -> dict[tuple[str, str], Operation]:
    found: dict[tuple[str, str], Operation] = {}
    for one in spans:
        key = (one.service, one.name)
        known = found.get(key, Operation())
        found[key] = Operation(
            known.count + 1,
            known.errors + one.failed,
            known.duration_ns + one.duration_ns,
        )
    return found


def _differ(here_ns: float, there_ns: float) -> bool:
    more, less = max(here_ns, there_ns), min(here_ns, there_ns)
    return more - less >= _LEAST_NS and more >= less * _TIMES


def _times(here: float, there: float) -> str:
    if there <= 0:
        return "infinitely"
    return f"{here / there:.3g}x"


@dataclass(frozen=True, slots=True)
class _Side:
    spans: list[Span]
    lines: dict[tuple[str, int, int], int]
    """How many by service, severity and template."""


async def _known(connection: store.Connection, ids: TraceIds, title: str) -> Trace:
    trace_id = await whole_trace_id(connection, ids)
    known = {} if trace_id is None else await summaries(connection, [trace_id])
    if trace_id is None or trace_id not in known:
        raise FilterError(f"{title}: no such trace is stored: {ids.hex}")
    return known[trace_id]


async def _side(connection: store.Connection, one: Trace) -> _Side:
    trace_id = UUID(hex=one.id)
    spans = await trace_spans(connection, trace_id) if one.spans else []
    counted: dict[tuple[str, int, int], int] = {}
    for piece in await trace_slices(connection, trace_id, None, None):
        rows = await fetch(
            connection,
            "SELECT service, severity, template_id, count(*) FROM logs"
            " WHERE time >= %s AND time < %s AND trace_id = %s GROUP BY 1, 2, 3",
            [piece.lower, piece.upper, trace_id],
        )
        for *key, lines in rows:
            where = (key[0], key[1], key[2])
            counted[where] = counted.get(where, 0) + lines
    return _Side(spans, counted)


async def _kinds(
    connection: store.Connection,
    here: dict[tuple[str, int, int], int],
    there: dict[tuple[str, int, int], int],
) -> list[Kind]:
    """The kinds of lines with other counts: those of one alone first, the gravest."""
    changed = [key for key in {**here, **there} if here.get(key) != there.get(key)]
    known = await templates(connection, {key[2] for key in changed})
    changed.sort(key=lambda key: (key in here and key in there, -key[1], key))
    return [
        Kind(
            service,
            level_name(severity),
            known[number].text if number in known else "(other)",
            here.get((service, severity, number), 0),
            there.get((service, severity, number), 0),
        )
        for service, severity, number in changed
    ]


def _fails(spans: list[Span]) -> str:
    node = failing(build(spans, ()))
    if node is None or node.span is None:
        return ""
    parts = [node.span.service, node.span.name, reason(node)]
    return ": ".join(one for one in parts if one)
