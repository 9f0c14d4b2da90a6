"""The shapes that every door gives, read back into what they were made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from godot_otel.query import (
    LEVELS,
    Difference,
    Differs,
    Filters,
    Group,
    Ingest,
    Kind,
    Line,
    Linked,
    Page,
    Pattern,
    Patterns,
    Root,
    Span,
    Stats,
    Trace,
    Traces,
    nanoseconds,
)
from godot_otel.query.counts import Count
from godot_otel.query.difference import Operation
from godot_otel.query.fields import Fields
from godot_otel.query.histogram import Histogram, read
from godot_otel.query.operations import OperationCount
from godot_otel.query.span import KINDS, STATUSES
from godot_otel.query.storage import Storage
from godot_otel.query.trace import FirstError

_NO_INGEST: dict[str, Any] = {
    "queue_depth": None, "queue_bytes": None, "capacity": None, "oldest_lag_s": None,
    "dropped_by_reason": {}, "last_stored": None,
}  # fmt: skip # what could not be asked
EMPTY: dict[str, Any] = {
    "rows": [], "next_cursor": None, "window": {"since": None, "until": "now"},
    "ingest": _NO_INGEST, "notes": [],
}  # fmt: skip # a page of nothing


def page(found: dict[str, Any]) -> Page:
    """A page of lines."""
    return Page(lines=[line(row) for row in found["rows"]], **_about(found))


def _about(found: dict[str, Any]) -> dict[str, Any]:
    """What is said of rows; the note on a long search is a field of its own again."""
    window, notes = found["window"], list(found["notes"])
    stopped = window.get("searched_to")
    if stopped:
        notes.pop()
    return {
        "since": _moment(window["since"]),
        "until": _until(window["until"]),
        "next_cursor": found["next_cursor"],
        "ingest": _ingest(found["ingest"]),
        "notes": notes,
        "searched_to": _moment(stopped),
    }


def line(row: dict[str, Any]) -> Line:
    """A line; ``level`` and ``age`` follow from the rest."""
    fields = {key: row[key] for key in row if key not in ("time", "level", "age")}
    time, nanos = _nanos(row["time"])
    return Line(time=time, nanos=nanos, **fields)


def trace(row: dict[str, Any]) -> Trace:
    """A trace's summary."""
    first, _ = _nanos(row["start"])
    last = first + timedelta(milliseconds=row["duration_ms"])
    said = row.get("first_error")
    return Trace(
        id=row["trace_id"],
        first=first,
        last=last,
        lines=row["lines"],
        errors=row["errors"],
        components=row["components"],
        spans=row["spans"],
        span_errors=row["span_errors"],
        root=_root(row.get("root")),
        first_error=FirstError(**said) if said else None,
    )


def _root(row: dict[str, Any] | None) -> Root | None:
    """A trace's root operation."""
    if row is None:
        return None
    return Root(
        service=row["service"],
        name=row["name"],
        kind=_number(KINDS, row["kind"]),
        status=_number(STATUSES, row["status"]),
        duration_ns=_nanoseconds(row["duration_ms"]),
        arrived=row["arrived"],
    )


def span(row: dict[str, Any]) -> Span:
    """A span; JSON has its times to the nanosecond, durations to the microsecond."""
    kept = (
        "environment", "service", "name", "status_message", "trace_id", "span_id",
        "parent_id", "attributes", "links", "scope", "seq",
    )  # fmt: skip # what is as it was
    return Span(
        **{key: row[key] for key in kept},
        start_ns=nanoseconds(*_nanos(row["time"])),
        duration_ns=_nanoseconds(row["duration_ms"]),
        kind=_number(KINDS, row["kind"]),
        status=_number(STATUSES, row["status"]),
        events=[_event(one) for one in row["events"]],
    )


def _event(row: dict[str, Any]) -> dict[str, Any]:
    """An event as it is stored."""
    try:
        when = nanoseconds(*_nanos(row["time"]))
    except (TypeError, ValueError):
        when = None
    return {"time": when, "name": row["name"], "attributes": row["attributes"]}


def _nanoseconds(milliseconds: float) -> int:
    return round(milliseconds * 1e6)


def _number(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else int(name)


def linked(row: dict[str, Any]) -> Linked:
    """A trace that another links to."""
    return Linked(**{**row, "root": _root(row["root"])})


def difference(found: dict[str, Any]) -> Difference:
    """What differs between two traces."""
    return Difference(
        here=trace(found["here"]),
        there=trace(found["there"]),
        fails_here=found["fails_here"],
        fails_there=found["fails_there"],
        operations=[
            Differs(
                row["service"], row["name"], _side(row["here"]), _side(row["there"])
            )
            for row in found["operations"]
        ],
        templates=[Kind(**row) for row in found["templates"]],
    )


def _side(row: dict[str, Any]) -> Operation:
    duration_ns = _nanoseconds(row["duration_ms"])
    return Operation(row["count"], row["errors"], duration_ns)


def traces(found: dict[str, Any]) -> Traces:
    """A page of traces."""
    return Traces(traces=[trace(row) for row in found["rows"]], **_about(found))


def patterns(found: dict[str, Any], filters: Filters) -> Patterns:
    """The patterns that answered *filters*."""
    return Patterns(
        patterns=[_pattern(row) for row in found["rows"]],
        omitted=found["omitted_patterns"],
        lines=found["lines"],
        since=_moment(found["window"]["since"]),
        until=_until(found["window"]["until"]),
        compared=found["compared_with"] or "",
        ingest=_ingest(found["ingest"]),
        notes=found["notes"],
        given=filters.given,
    )


def _pattern(row: dict[str, Any]) -> Pattern:
    """A pattern; when it was seen is of its lines now, or before where it is gone."""
    first, _ = _nanos(row["first_seen"])
    last, _ = _nanos(row["last_seen"])
    now, before = (
        Count(lines, first, last) if lines else None
        for lines in (row["lines"], row["lines_before"])
    )
    return Pattern(
        id=0,  # the store's alone
        severity=LEVELS.get(row["level"], 0),
        services=set(row["services"]),
        now=now,
        before=before,
        share=row["share"],
        change=row["change"] or "",
        logger=row["logger"],
        template=row["template"],
        known_since=_moment(row["known_since"]),
        example=line(row["example"]) if row["example"] else None,
    )


def stats(found: dict[str, Any]) -> Stats:
    """Counts of a window."""
    storage = found["storage"]
    service, operations = "components" in found, found.get("operations")
    listed = "components" if service else "groups"
    over_time, fields = found.get("histogram"), found.get("fields")
    return Stats(
        since=_moment(found["window"]["since"]),
        until=_until(found["window"]["until"]),
        levels=found["levels"],
        group_by="service" if service else found["group_by"],
        groups=[
            Group(one["name"], one["levels"], _moment(one["last_seen"]))
            for one in found.get(listed, ())
        ],
        omitted=found[f"omitted_{'operations' if operations is not None else listed}"],
        histogram=_histogram(over_time) if over_time else None,
        fields=_fields(fields) if fields else None,
        ingest=_ingest(found["ingest"]),
        storage=Storage(**{**storage, "oldest": _moment(storage["oldest"])}),
        notes=found["notes"],
        operations=None if operations is None else [*map(_operation, operations)],
    )


def _operation(row: dict[str, Any]) -> OperationCount:
    """An operation, with percentiles for which no buckets are needed any more."""
    return OperationCount(
        service=row["service"],
        name=row["operation"],
        kind=_number(KINDS, row["kind"]),
        count=row["count"],
        errors=row["errors"],
        duration_ns=_nanoseconds(row["mean_ms"]) * row["count"],
        p50_ms=row["p50_ms"],
        p95_ms=row["p95_ms"],
    )


def _histogram(found: dict[str, Any]) -> Histogram:
    buckets = {
        datetime.fromisoformat(one["start"]): one["by"] for one in found["buckets"]
    }
    return Histogram(read(found["bucket"]), buckets)


def _fields(found: dict[str, Any]) -> Fields:
    what = "values" if "values" in found else "keys"
    one = what.removesuffix("s")
    return Fields(
        key=found.get("key", ""),
        counts=[(row[one], row["lines"]) for row in found[what]],
        top={
            row[one]: [(top["value"], top["lines"]) for top in row["top"]]
            for row in found[what]
            if "top" in row
        },
        distinct=found[f"distinct_{what}"],
        lines=found.get("lines_with_key", 0),
        sampled=found["sampled_lines"],
        since=_moment(found["sampled_since"]),
    )


def _ingest(found: dict[str, Any]) -> Ingest:
    return Ingest(**{**found, "last_stored": _moment(found["last_stored"])})


def _until(text: str) -> datetime | None:
    return None if text == "now" else _moment(text)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _nanos(text: str) -> tuple[datetime, int]:
    """A time with its nine digits; the last three have no place in a datetime."""
    whole, _, digits = text.removesuffix("Z").partition(".")
    time = datetime.fromisoformat(f"{whole}.{digits[:6]}+00:00")
    return time.astimezone(UTC), int(digits[6:9])
