"""What of a tree is shown where not all of it fits: errors first, then what was slow.

Each span and each line is shown, folded into a row of its likes, or counted where it
was left out; the three together are all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from godot_otel.query.filters import LEVELS
from godot_otel.query.line import Line
from godot_otel.query.tree import Node, moment

_ALIKE = 5  # siblings from which on they are one row
_SHARE = 20  # one part in so many of the whole is slow
_TALKATIVE = 10  # lines of a span as grave, the first, that come before others
_WARN = LEVELS["WARN"]
_HIDDEN_ROOM = 90  # characters of a row that says what was left out


@dataclass(frozen=True, slots=True)
class Hidden:
    """What is not shown below a row."""

    spans: int = 0
    lines: int = 0
    failed: int = 0
    longest_ns: int = 0

    def __add__(self, other: Hidden) -> Hidden:
        return Hidden(
            self.spans + other.spans,
            self.lines + other.lines,
            self.failed + other.failed,
            max(self.longest_ns, other.longest_ns),
        )

    def __bool__(self) -> bool:
        return bool(self.spans or self.lines)


_NOTHING = Hidden()


@dataclass(slots=True, eq=False)
class Row:
    """A row: a span, several alike, a line, or what is hidden below the row above."""

    depth: int
    node: Node | None = None
    alike: Sequence[Node] = ()
    line: Line | None = None
    number: int = 0
    """Of a line: which of its span's as grave it is."""
    hidden: Hidden = _NOTHING
    """Below this row; of the row that says so, what it says."""
    below: Sequence[Row] = ()
    above: Row | None = None
    cost: int = 0
    """Characters, once they were counted."""
    left: int = 0
    """How many rows below are not shown yet."""
    shown: bool = False
    last: bool = False
    """Whether it is the last row shown below its parent."""

    @property
    def begin_ns(self) -> int:
        """When what it shows began."""
        if self.line:
            return moment(self.line)
        nodes = self.alike or ([self.node] if self.node else [])
        return nodes[0].start_ns if nodes else 0

    def holds(self) -> Hidden:
        """What is not shown where this row is not."""
        if self.line:
            return Hidden(lines=1)
        nodes = self.alike or ([self.node] if self.node else [])
        return Hidden(
            sum(one.spans for one in nodes),
            sum(one.all_lines for one in nodes),
            sum(one.failed for one in nodes),
            max((one.duration_ns for one in nodes), default=0),
        )


@dataclass(frozen=True, slots=True)
class Outline:
    """The rows to show, in their order, and what of the whole they are."""

    rows: list[Row]
    spans: int
    lines: int
    """All that there are."""
    spans_shown: int
    folded: int
    """Spans in rows of several alike, and below those."""
    lines_shown: int
    failed_hidden: int
    """Failed spans that no row shows or folds."""

    @property
    def left_out(self) -> int:
        """Spans that no row shows or folds."""
        return self.spans - self.spans_shown - self.folded

    @property
    def whole(self) -> bool:
        """Whether every span and every line has a row of its own."""
        return self.spans == self.spans_shown and self.lines == self.lines_shown


def outline(
    roots: Iterable[Node],
    loose: Iterable[Line],
    *,
    limit: int,
    room: int,
    size: Callable[[Row], int],
    first: Node | None = None,
) -> Outline:
    """Choose rows: at most *limit*, and no more characters than *room* by *size*.

    *first* is the span that comes before all others, with those above it.
    """
    top, every = _rows(list(roots), list(loose))
    whole = max((row.node.duration_ns for row in top if row.node), default=0)
    urgent: set[int] = set()
    while first:
        urgent.add(id(first))
        first = first.parent
    ranked = [(_rank(row, whole, urgent), number) for number, row in enumerate(every)]
    for _, number in sorted(ranked):
        row: Row | None = every[number]
        needed: list[Row] = []
        while row and not row.shown and len(needed) <= limit:
            needed.append(row)
            row = row.above
        if limit < 1 or room < _HIDDEN_ROOM:
            break
        if len(needed) > limit:
            continue
        for one in needed:
            one.cost = one.cost or size(one) + _HIDDEN_ROOM * (one.left > 0)
        cost = sum(one.cost for one in needed)
        if cost > room:
            continue
        limit, room = limit - len(needed), room - cost
        for one in needed:
            one.shown = True
            if one.above:
                one.above.left -= 1
                room += _HIDDEN_ROOM * (one.above.left == 0)
    return _outline(top, every)


def _rows(roots: list[Node], loose: list[Line]) -> tuple[list[Row], list[Row]]:
    """A row for everything: those at the top, and all."""
    top = _below(None, roots, loose)
    every: list[Row] = []
    pending = top[::-1]
    while pending:
        row = pending.pop()
        every.append(row)
        if row.node:
            row.below = _below(row, row.node.children, row.node.lines)
            row.left = len(row.below)
            pending += row.below[::-1]
    return top, every


def _below(above: Row | None, nodes: list[Node], lines: list[Line]) -> list[Row]:
    """Rows of one parent in the order of time."""
    if not nodes and not lines:
        return []
    depth = above.depth + 1 if above else 0
    like: dict[tuple[object, ...], list[Node]] = {}
    for node in nodes:
        like.setdefault(_kind(node), []).append(node)
    rows: list[tuple[int, int, Row]] = []
    for alike in like.values():
        alone = len(alike) if len(alike) < _ALIKE else int(alike[0].failed > 0)
        for node in alike[:alone]:
            rows.append((node.start_ns, 1, Row(depth, node, above=above)))
        if rest := alike[alone:]:
            row = Row(depth, alike=rest, above=above)
            rows.append((rest[0].start_ns, 1, row))
    grave: Counter[tuple[bool, bool]] = Counter()
    for line in lines:
        how = line.failed, line.severity >= _WARN
        row = Row(depth, line=line, number=grave[how], above=above)
        grave[how] += 1
        rows.append((moment(line), 0, row))
    rows.sort(key=lambda one: one[:2])
    return [row for *_, row in rows]


def _kind(node: Node) -> tuple[object, ...]:
    """What siblings have in common that may share a row; the others share nothing.

    Alike are those without any trouble below them, and those that failed alone and of
    the same.
    """
    span = node.span
    quiet = not node.failed and node.severity < _WARN
    if span is None or not (quiet or (span.failed and not node.children)):
        return (id(node),)
    return (span.service, span.name, span.kind, span.status, span.failure)


def _rank(row: Row, whole: int, urgent: set[int]) -> tuple[int, int, int]:
    """The smaller, the sooner a row is shown."""
    when = row.begin_ns
    if line := row.line:
        if row.number >= _TALKATIVE:
            return 5, -line.severity, when
        if line.failed:
            return 1, 0, when
        if line.severity >= _WARN:
            return 3, 0, when
        owner = row.above.node if row.above else None
        return 4, -(owner.duration_ns if owner else whole), when
    if row.alike:
        together = sum(one.duration_ns for one in row.alike)
        failed = any(one.failed for one in row.alike)
        slow = together * _SHARE >= whole
        return (1 if failed else 2 if slow else 4), -together, when
    node = row.node
    assert node
    if id(node) in urgent:
        return 0, 0, when
    if node.span and node.span.failed:
        return 0, 1, when
    if node.self_ns * _SHARE >= whole:
        return 2, -node.self_ns, when
    return 4, -node.duration_ns, when


def _outline(top: list[Row], every: list[Row]) -> Outline:
    for row in every:
        if row.shown:
            for one in row.below:
                if not one.shown:
                    row.hidden += one.holds()
    hidden = Hidden()
    for row in top:
        if not row.shown:
            hidden += row.holds()
    shown = [row for row in every if row.shown]
    folded = [node for row in shown for node in row.alike]
    all_ = Hidden()
    for row in top:
        all_ += row.holds()
    return Outline(
        rows=_ordered(top, hidden),
        spans=all_.spans,
        lines=all_.lines,
        spans_shown=sum(1 for row in shown if row.node and row.node.span),
        folded=sum(node.spans for node in folded),
        lines_shown=sum(1 for row in shown if row.line),
        failed_hidden=hidden.failed + sum(row.hidden.failed for row in shown),
    )


def _ordered(top: list[Row], hidden: Hidden) -> list[Row]:
    """The rows that are shown, each with what says what is hidden after its last."""
    found: list[Row] = []
    pending = _siblings(top, hidden, 0)[::-1]
    while pending:
        row = pending.pop()
        found.append(row)
        if row.node:
            pending += _siblings(row.below, row.hidden, row.depth + 1)[::-1]
    return found


def _siblings(rows: Sequence[Row], hidden: Hidden, depth: int) -> list[Row]:
    shown = [row for row in rows if row.shown]
    if hidden:
        shown.append(Row(depth, hidden=hidden, shown=True))
    if shown:
        shown[-1].last = True
    return shown
