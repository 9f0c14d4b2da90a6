"""A span as every door gives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from godot_otel.query.line import rfc3339

COLUMNS = (
    "s.time, s.time_nanos, s.duration_ns, s.seq, s.kind, s.status, s.environment,"
    " s.service, s.name, s.status_message, s.trace_id, s.span_id, s.parent_id,"
    " s.attributes, s.events, s.links, c.name"
)
SOURCE = "spans AS s LEFT JOIN scopes AS c ON c.id = s.scope_id"
KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")
ERROR = STATUSES.index("ERROR")
SERVER, CLIENT, PRODUCER, CONSUMER = (KINDS.index(name) for name in KINDS[2:])
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_MICROSECOND = timedelta(microseconds=1)
_SAID = ("error.type", "http.response.status_code", "http.status_code")


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """One stored span."""

    start_ns: int
    """Nanoseconds since 1970."""
    duration_ns: int
    seq: int
    kind: int
    status: int
    environment: str
    service: str
    name: str
    status_message: str
    trace_id: str
    span_id: str
    parent_id: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    scope: str = ""

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Span:
        """Make a span of a row of COLUMNS."""
        time, nanos, *plain, said, trace_id, span_id, parent_id = row[:13]
        attributes, events, links, scope = row[13:]
        return cls(  # type: ignore[call-arg] # seven of them as they come
            nanoseconds(time, nanos),
            *plain,
            said or "",
            trace_id.hex,
            bytes(span_id).hex(),
            bytes(parent_id).hex() if parent_id else None,
            attributes or {},
            events or [],
            links or [],
            scope or "",
        )

    @property
    def end_ns(self) -> int:
        """When it ended."""
        return self.start_ns + self.duration_ns

    @property
    def failed(self) -> bool:
        """Whether its status is an error."""
        return self.status == ERROR

    @property
    def failure(self) -> str:
        """Why it failed: its last exception, else what its status or attributes say."""
        for event in reversed(self.events):
            if event.get("name") == "exception":
                told = event.get("attributes") or {}
                named = (told.get("exception.type"), told.get("exception.message"))
                if said := ": ".join(str(one) for one in named if one):
                    return said
        if self.status_message:
            return self.status_message
        codes = (self.attributes[key] for key in _SAID if key in self.attributes)
        return str(next(codes, ""))

    def as_json(self) -> dict[str, Any]:
        """The fixed shape, in its fixed order, that scripts and agents lean on."""
        return {
            "time": written(self.start_ns),
            "duration_ms": milliseconds(self.duration_ns),
            "service": self.service,
            "environment": self.environment,
            "name": self.name,
            "kind": named(KINDS, self.kind),
            "status": named(STATUSES, self.status),
            "status_message": self.status_message,
            "scope": self.scope,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_id": self.parent_id,
            "attributes": self.attributes,
            "events": [_event(one) for one in self.events],
            "links": self.links,
            "seq": self.seq,
        }


def _event(stored: dict[str, Any]) -> dict[str, Any]:
    when = stored.get("time")
    return {
        "time": written(when) if isinstance(when, int) else None,
        "name": stored.get("name", ""),
        "attributes": stored.get("attributes") or {},
    }


def named(names: tuple[str, ...], number: int) -> str:
    """The name of an enum's number; a number that has none stands for itself."""
    return names[number] if 0 <= number < len(names) else str(number)


def nanoseconds(time: datetime, nanos: int = 0) -> int:
    """The nanoseconds since 1970 of a time and the digits that it cannot hold."""
    return (time - EPOCH) // _MICROSECOND * 1000 + nanos


def written(nanoseconds_: int) -> str:
    """Nanoseconds since 1970 as RFC 3339, with all nine digits."""
    micros, nanos = divmod(nanoseconds_, 1000)
    try:
        return rfc3339(EPOCH + micros * _MICROSECOND, nanos)
    except OverflowError:  # an event may say any time
        return str(nanoseconds_)


def milliseconds(duration_ns: int) -> float:
    """A duration as JSON has it."""
    return round(duration_ns / 1e6, 3)


def took(duration_ns: float) -> str:
    """A duration as a person reads it: 0.42ms, 31.0ms, 2.10s, 3m12s, 5h07m, 9d04h."""
    if duration_ns < 1e6:
        return f"{duration_ns / 1e6:.2f}ms"
    if duration_ns < 1e9:
        return f"{duration_ns / 1e6:.1f}ms"
    if duration_ns < 120e9:
        return f"{duration_ns / 1e9:.2f}s"
    minutes, seconds = divmod(round(duration_ns / 1e9), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h"
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s"
