"""A tree in words: the cells of a row, and what is said of a whole trace.

Every text is clean: what somebody else wrote cannot break a row or control a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from godot_otel.query import sanitize
from godot_otel.query.failing import reason
from godot_otel.query.line import Line
from godot_otel.query.linked import MAX_LINKED, Linked
from godot_otel.query.outline import Hidden, Row
from godot_otel.query.sanitize import name
from godot_otel.query.skew import skews
from godot_otel.query.span import KINDS, Span, milliseconds, named, took, written
from godot_otel.query.tree import Node, Tree, moment

DEEPEST = 20  # levels that are indented
_PLAIN = ("UNSPECIFIED", "INTERNAL")  # kinds that are not worth a word
_SLOW = 0.1  # share of the whole that is worth a figure
_CLOCKS = 5
_DETAIL_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Cells:
    """What a row of a tree says, without its indentation."""

    offset: str
    took: str
    """A duration, or the level of a line."""
    says: str
    id: str = ""
    """Of a span, for who wants to see it alone."""
    failed: bool = False
    share: float = 0.0
    """How much of the whole it took by itself."""


def indent(depth: int) -> str:
    """What stands before a row's text; of a very deep one its depth in digits."""
    deep = f"(depth {depth}) " if depth > DEEPEST else ""
    return "  " * min(depth, DEEPEST) + deep


def cells(row: Row, first_ns: int, whole_ns: int, max_chars: int) -> Cells:
    """What a row says; *first_ns* and *whole_ns* are the trace's begin and duration."""
    if row.line:
        return _line(row, row.line, first_ns, max_chars)
    if row.alike:
        return _alike(row.alike, first_ns, whole_ns, max_chars)
    if row.node is None:
        return Cells("", "", _hidden(row.hidden))
    return _span(row.node, first_ns, whole_ns, max_chars)


def _span(node: Node, first_ns: int, whole_ns: int, max_chars: int) -> Cells:
    offset, span = _offset(node.start_ns - first_ns), node.span
    if span is None:
        id_ = sanitize.shorten(sanitize.line(node.span_id), 16)
        return Cells(offset, "", f"(span {id_} is {node.note})")
    says = [name(span.service), name(span.name), *_kind(span)]
    if span.failed:
        why = sanitize.shorten(sanitize.line(reason(node)), max_chars)
        says.append(f"ERROR: {why}" if why else "ERROR")
    share = node.self_ns / whole_ns if whole_ns > 0 else 0.0
    if share >= _SLOW and node.children:
        says.append(f"self {took(node.self_ns)} {share:.0%}")
    elif share >= _SLOW:
        says.append(f"{share:.0%}")
    notes = [node.note] if node.note else []
    notes += _clock(span)
    says += [f"({one})" for one in notes]
    if span.links:
        says.append(f"(links: {len(span.links)})")
    duration = took(span.duration_ns)
    return Cells(offset, duration, " ".join(says), span.span_id, span.failed, share)


def _clock(span: Span) -> list[str]:
    """What is odd about a span's times, which are then not stored as they came."""
    said = []
    start = span.attributes.get("span.original_time")
    if isinstance(start, int):
        said.append(f"by its clock it began at {written(start)}: shown when it came")
    end = span.attributes.get("span.original_end_time")
    if isinstance(end, int):
        said.append(f"by its clock it ended at {written(end)}")
    return said


def _alike(
    nodes: Sequence[Node], first_ns: int, whole_ns: int, max_chars: int
) -> Cells:
    """Several siblings in one row, with the slowest of them."""
    slowest = max(nodes, key=lambda one: one.duration_ns)
    span = slowest.span
    assert span
    together = sum(one.duration_ns for one in nodes)
    says = [name(span.service), name(span.name), *_kind(span), f"×{len(nodes)}"]
    if span.failed:
        why = sanitize.shorten(sanitize.line(reason(slowest)), max_chars)
        says.append(f"ERROR: {why}" if why else "ERROR")
    held = Row(0, alike=nodes).holds()
    below = Hidden(held.spans - len(nodes), held.lines)
    if below:
        says.append(f"with {_counted(below)}")
    says.append(f"slowest {took(slowest.duration_ns)}:")
    return Cells(
        _offset(nodes[0].start_ns - first_ns),
        took(together),
        " ".join(says),
        span.span_id,
        span.failed,
        together / whole_ns if whole_ns > 0 else 0.0,
    )


def _line(row: Row, line: Line, first_ns: int, max_chars: int) -> Cells:
    owner = row.above.node.span if row.above and row.above.node else None
    says = [] if owner and owner.service == line.service else [name(line.service)]
    says += [name(line.logger), f"#{line.seq}"]
    told = line.told
    attributes = json.dumps(sanitize.value(told), ensure_ascii=False) if told else ""
    for text in (line.body, line.failure, attributes):
        if text:
            says.append(sanitize.shorten(sanitize.line(text), max_chars))
    if line.span_id and not owner and not row.above:
        says.append(f"(span {line.span_id} not here)")
    level = line.level or "-"
    return Cells(
        _offset(moment(line) - first_ns), level, " ".join(says), "", line.failed
    )


def _hidden(hidden: Hidden) -> str:
    said = f"... {_counted(hidden)} not shown"
    if hidden.failed:
        return f"{said}, {hidden.failed} of them failed"
    if hidden.spans:  # of the lines it is not known
        quiet = "no span failed" if hidden.lines else "none failed"
        return f"{said}, {quiet}, none longer than {took(hidden.longest_ns)}"
    return said


def _counted(hidden: Hidden) -> str:
    parts = ((hidden.spans, "span"), (hidden.lines, "line"))
    return " and ".join(
        f"{number} {what}{'' if number == 1 else 's'}"
        for number, what in parts
        if number
    )


def _kind(span: Span) -> list[str]:
    kind = named(KINDS, span.kind)
    return [] if kind in _PLAIN else [kind.lower()]


def _offset(distance_ns: int) -> str:
    return f"{'+' if distance_ns >= 0 else '-'}{abs(distance_ns) / 1e6:.1f}ms"


def headlines(
    tree: Tree, broken: Node | None, linked: list[Linked], max_chars: int
) -> list[str]:
    """What is to be seen first: where it fails, what is slow, what is odd."""
    said = []
    if broken and broken.span:
        why = sanitize.shorten(sanitize.line(reason(broken)), max_chars)
        said.append(
            f"fails in {name(broken.span.service)}: {name(broken.span.name)}"
            f"{': ' if why else ''}{why}"
            f" (span {broken.span_id}, {_offset(broken.start_ns - tree.first_ns)})"
        )
    said += _slowest(tree)
    gone = next((node.note for node in tree.roots if node.span is None), "")
    if gone and all(node.span is None or node.note for node in tree.roots):
        said.append(f"its root is {gone}")
    clocks = skews(tree.nodes())
    said += [sanitize.line(one) for one in clocks[:_CLOCKS]]
    if len(clocks) > _CLOCKS:
        said.append(f"and {len(clocks) - _CLOCKS} clocks more")
    return said + [_link(one) for one in linked[: 2 * MAX_LINKED]]


def _slowest(tree: Tree) -> list[str]:
    if tree.spans < 2 or tree.duration_ns <= 0:
        return []
    node = max(tree.nodes(), key=lambda one: one.self_ns)
    share = node.self_ns / tree.duration_ns
    if node.span is None or share < _SLOW:
        return []
    return [
        f"most time of its own: {name(node.span.service)}: {name(node.span.name)}"
        f" {took(node.self_ns)} of {took(tree.duration_ns)} ({share:.0%})"
    ]


def _link(one: Linked) -> str:
    said = f"{'linked from' if one.incoming else 'links to'} trace {one.trace_id}"
    if one.links > 1:
        said += f" ×{one.links}"
    if one.root is None:
        return f"{said}: no spans of it here"
    state = "ERROR" if one.root.failed else "ok"
    said += f": {name(one.root.service)}: {name(one.root.name)}"
    said += f" {took(one.root.duration_ns)} {state}"
    return said if one.root.arrived else f"{said} (its root is not here)"


def details(span: Span, first_ns: int) -> list[str]:
    """All that one span says, for who looks at it alone."""
    kind = named(KINDS, span.kind)
    said = [
        f"span {span.span_id} parent {span.parent_id or 'none'} {kind}"
        f" {written(span.start_ns)} {milliseconds(span.duration_ns)} ms"
        f" environment {name(span.environment)} scope {name(span.scope)}"
    ]
    if span.status_message:
        said.append(f"status: {_text(span.status_message)}")
    if span.attributes:
        said.append(f"attributes: {_json(span.attributes)}")
    for event in span.events[:20]:
        when = event.get("time")
        at = _offset(when - first_ns) if isinstance(when, int) else "-"
        told = event.get("attributes")
        more = f" {_json(told)}" if told else ""
        said.append(f"event {at} {name(str(event.get('name', '')))}{more}")
    if len(span.events) > 20:
        said.append(f"... {len(span.events) - 20} events not shown")
    return said


def _text(text: str) -> str:
    return sanitize.shorten(sanitize.line(text), _DETAIL_MAX)


def _json(value: Any) -> str:
    return _text(json.dumps(sanitize.value(value), ensure_ascii=False))
