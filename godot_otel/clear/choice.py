"""What is chosen to be deleted, and how much of it there is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from godot_otel.query import rfc3339
from godot_otel.query.clauses import Clauses, name_clause
from godot_otel.query.filters import LEVELS, FilterError, level_name, moment, severity

NEWEST = timedelta(hours=1)
"""What is younger than this cannot be cleared: it may be arriving just now."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which lines and spans: all that fulfil each part."""

    before: datetime
    """A whole minute: counts are kept by minute."""
    component: str = ""
    """A trailing ``*`` matches its beginning."""
    level: str = ""
    """Exactly this one."""

    def clauses(self) -> Clauses:
        """What a row of logs or of its counts must fulfil, beside time."""
        clauses = self.of_service()
        if self.level:
            lowest = LEVELS[self.level]
            clauses.add("severity BETWEEN %s AND %s", lowest, lowest + 3)
        return clauses

    def of_service(self) -> Clauses:
        """What a row of spans, their counts or the trace index must fulfil."""
        clauses = Clauses()
        if self.component:
            name_clause(clauses, "service", self.component)
        return clauses

    @property
    def spans(self) -> bool:
        """Whether spans are meant too."""
        return not self.level

    @property
    def everything(self) -> bool:
        """Whether time alone chooses."""
        return not (self.component or self.level)

    def as_json(self) -> dict[str, str]:
        """The shape that answers and audit rows have."""
        before = rfc3339(self.before)
        return {"before": before, "component": self.component, "level": self.level}


@dataclass(slots=True)
class Counts:
    """Lines by service and level, and spans."""

    components: dict[str, dict[str, int]] = field(default_factory=dict)
    spans: int = 0

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.lines or self.spans)

    def add(self, service: str, severity: int, lines: int) -> None:
        """Count more lines."""
        levels = self.components.setdefault(service, {})
        name = level_name(severity) or "UNKNOWN"
        levels[name] = levels.get(name, 0) + lines

    @property
    def levels(self) -> dict[str, int]:
        """All services together, the lowest level first."""
        found: dict[str, int] = {}
        for name in [*LEVELS, "UNKNOWN"]:
            lines = sum(one.get(name, 0) for one in self.components.values())
            if lines:
                found[name] = lines
        return found

    @property
    def lines(self) -> int:
        """All of them."""
        return sum(self.levels.values())


@dataclass(slots=True)
class Cleared:
    """What a call of ``clear`` deleted."""

    counts: Counts = field(default_factory=Counts)
    finished: bool = True
    """False: its time was over before everything was gone; call again."""


def choose(before: str, component: str = "", level: str = "") -> Choice:
    """Read what was asked for, as people and agents write it.

    Raises:
        FilterError: one of them cannot be understood, or the moment is too young.
    """
    now = datetime.now(UTC)
    found = moment("before", before, now).replace(second=0, microsecond=0)
    if found > now - NEWEST:
        raise FilterError(
            f"before: {before!r} is newer than an hour ago, and lines of that time may"
            " be arriving: write -1h or earlier"
        )
    if "\0" in component or any("\ud800" <= one <= "\udfff" for one in component):
        raise FilterError("component: no service has such a name")
    name = level_name(severity(level)) if level.strip() else ""
    return Choice(found, component.strip(), name)
