"""A log line as every door gives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from godot_otel.query.cursor import Position
from godot_otel.query.filters import LEVELS, level_name
from godot_otel.words import EXCEPTION

COLUMNS = (
    "l.time, l.time_nanos, l.seq, l.severity, l.environment, l.service, l.logger,"
    " l.body, l.trace_id, l.span_id, l.attributes, l.resource_id,"
    " l.trace_flags"
)


_UNTOLD = ("code.", "thread.", "log.record.template", "godot.span_event")
_STACKS = ("exception.stacktrace", "code.stacktrace")


@dataclass(frozen=True, slots=True)
class Line:
    """One stored record."""

    time: datetime
    nanos: int
    seq: int
    severity: int
    environment: str
    service: str
    logger: str
    body: str
    trace_id: str | None = None
    span_id: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    resource_id: int = 0
    flags: int | None = None
    """Of its trace: 1 where spans are recorded; None: nobody said."""

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Line:
        """Make a line of a row of COLUMNS."""
        *plain, trace_id, span_id, attributes, resource_id, flags = row
        return cls(  # type: ignore[call-arg] # the first eight, as they come
            *plain,
            None if trace_id is None else trace_id.hex,
            None if span_id is None else bytes(span_id).hex(),
            attributes or {},
            resource_id,
            flags,
        )

    @property
    def level(self) -> str:
        """The usual name of the severity."""
        return level_name(self.severity)

    @property
    def failed(self) -> bool:
        """Whether it is an error, or graver."""
        return self.severity >= LEVELS["ERROR"]

    @property
    def position(self) -> Position:
        """Where this line stands among all."""
        return Position(self.time, self.nanos, self.seq)

    @property
    def failure(self) -> str:
        """The exception's type and message; empty without one, or where they are all
        that the line says."""
        parts = [self._text("exception.type"), self._text("exception.message")]
        said = ": ".join(filter(None, parts))
        return "" if said == self.body else said

    @property
    def stack(self) -> str:
        """The exception's stack trace, or where the line was logged."""
        return next(filter(None, map(self._text, _STACKS)), "")

    @property
    def told(self) -> dict[str, Any]:
        """The attributes that a reader wants to see beside ``failure`` and ``stack``.

        Where a line comes from in code and which thread wrote it is only in JSON.
        """
        return {
            key: value
            for key, value in self.attributes.items()
            if not key.startswith(_UNTOLD)
            and not (key in EXCEPTION and isinstance(value, str))
        }

    def _text(self, key: str) -> str:
        value = self.attributes.get(key)
        return value.strip("\r\n") if isinstance(value, str) else ""

    def as_json(self, now: datetime | None = None) -> dict[str, Any]:
        """The fixed shape, in its fixed order, that scripts and agents lean on."""
        return {
            "time": rfc3339(self.time, self.nanos),
            "service": self.service,
            "environment": self.environment,
            "level": self.level,
            "severity": self.severity,
            "logger": self.logger,
            "body": self.body,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "attributes": self.attributes,
            "seq": self.seq,
            "age": age((now or datetime.now(UTC)) - self.time),
        }


def rfc3339(time: datetime, nanos: int | None = None) -> str:
    """Write a time in UTC; with its digits below the second where *nanos* is given."""
    utc = time.astimezone(UTC)
    if nanos is None:
        return f"{utc:%Y-%m-%dT%H:%M:%S}Z"
    return f"{utc:%Y-%m-%dT%H:%M:%S.%f}{nanos:03d}Z"


def window(since: datetime | None, until: datetime | None) -> dict[str, str | None]:
    """Write an effective window as every door gives it; open ends: all, and now."""
    return {
        "since": rfc3339(since) if since else None,
        "until": rfc3339(until) if until else "now",
    }


def age(distance: timedelta) -> str:
    """Write how long ago in one unit: 3m; a time still to come is 0s."""
    seconds = max(0, int(distance.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
