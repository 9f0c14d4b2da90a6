"""What two traces do not have alike, as every door gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from godot_otel.query.span import milliseconds
from godot_otel.query.trace import Trace

_TIMES = 1.5  # from how many times as long on it is a difference
_LEAST_NS = 1_000_000  # what differs by less differs by chance


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
    operations: list[Differs]
    templates: list[Kind]

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


def _differ(here_ns: float, there_ns: float) -> bool:
    more, less = max(here_ns, there_ns), min(here_ns, there_ns)
    return more - less >= _LEAST_NS and more >= less * _TIMES


def _times(here: float, there: float) -> str:
    if there <= 0:
        return "infinitely"
    return f"{here / there:.3g}x"
