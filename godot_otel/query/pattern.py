"""One kind of lines: how many in a window, and what that is against before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from godot_otel.query.baseline import Baseline
from godot_otel.query.counts import Count, Counted
from godot_otel.query.dictionary import OTHER
from godot_otel.query.filters import Filters, level_name
from godot_otel.query.line import Line, rfc3339

_FOLD = 2.0  # as many times more, or fewer, is a change


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


def ranked(
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
            pattern = found.get(template)
            if pattern is None:
                pattern = found[template] = Pattern(template)
            if severity > pattern.severity:
                pattern.severity = severity
            pattern.services.add(service)
            known: Count | None = getattr(pattern, side)
            if known:
                known.add(one)
            else:
                setattr(pattern, side, Count(one.lines, one.first, one.last))
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
