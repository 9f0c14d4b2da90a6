"""Clocks that differ between services, told by spans that cannot be as they are."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from godot_otel.query.span import PRODUCER, SERVER, Span
from godot_otel.query.tree import Node

_LEAST_NS = 5_000_000  # less misleads nobody


def skews(nodes: Iterable[Node]) -> list[str]:
    """Sentences on clocks, the farthest first; times themselves stay as stored."""
    found: dict[tuple[str, str], list[int]] = {}
    for node in nodes:
        parent, child = node.parent and node.parent.span, node.span
        if not (parent and child) or parent.service == child.service:
            continue
        if offset := _offset(parent, child):
            found.setdefault((child.service, parent.service), []).append(offset)
    between = [(median(found[pair]), *pair) for pair in found]
    between.sort(key=lambda one: (-abs(one[0]), one[1:]))
    return [
        f"clock of {child} is ~{_about(abs(offset))}"
        f" {'ahead of' if offset > 0 else 'behind'} that of {parent}:"
        " times are shown as stored"
        for offset, child, parent in between
    ]


def _offset(parent: Span, child: Span) -> int:
    """By how much the child's clock is ahead of its parent's, as far as spans tell.

    A child cannot start before its parent. What a server does for a caller that waited
    and was content also ends before the caller's span, if it is short enough to. A call
    that takes as long there as back is the best guess.
    """
    early = parent.start_ns - child.start_ns
    late = child.end_ns - parent.end_ns
    waited = child.kind == SERVER and parent.kind != PRODUCER
    if parent.failed:  # the caller may have given up while the server went on
        waited = waited and child.start_ns > parent.end_ns
    fits = child.duration_ns <= parent.duration_ns
    if early >= _LEAST_NS and not fits:
        return -early
    if early >= _LEAST_NS or (late >= _LEAST_NS and fits and waited):
        return (child.start_ns + child.end_ns - parent.start_ns - parent.end_ns) // 2
    return 0


def _about(nanoseconds: float) -> str:
    if nanoseconds < 1e9:
        return f"{nanoseconds / 1e6:.0f} ms"
    return f"{nanoseconds / 1e9:.1f} s".replace(".0 s", " s")
