"""The shapes that every door gives, read back into what they were made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from godot_otel.query import Ingest, Line, Page, Stats, Trace, Traces
from godot_otel.query.stats import Component, Storage

_NO_INGEST: dict[str, Any] = {
    "queue_depth": None, "queue_bytes": None, "capacity": None, "oldest_lag_s": None,
    "dropped_by_reason": {}, "last_stored": None,
}  # fmt: skip # what could not be asked
EMPTY: dict[str, Any] = {
    "rows": [], "next_cursor": None, "window": {"since": None, "until": "now"},
    "ingest": _NO_INGEST, "notes": [],
}  # fmt: skip # a page of nothing


def page(found: dict[str, Any]) -> Page:
    """A page of lines; what its notes say of a long search is its own field again."""
    window, notes = found["window"], list(found["notes"])
    stopped = window.get("searched_to")
    if stopped:
        notes.pop()
    return Page(
        lines=[line(row) for row in found["rows"]],
        since=_moment(window["since"]),
        until=_until(window["until"]),
        next_cursor=found["next_cursor"],
        ingest=_ingest(found["ingest"]),
        notes=notes,
        searched_to=_moment(stopped),
    )


def line(row: dict[str, Any]) -> Line:
    """A line; ``level`` and ``age`` follow from the rest."""
    fields = {key: row[key] for key in row if key not in ("time", "level", "age")}
    time, nanos = _nanos(row["time"])
    return Line(time=time, nanos=nanos, **fields)


def trace(row: dict[str, Any]) -> Trace:
    """A trace's summary."""
    first, _ = _nanos(row["start"])
    last = first + timedelta(milliseconds=row["duration_ms"])
    numbers = row["lines"], row["errors"]
    return Trace(row["trace_id"], first, last, *numbers, row["components"])


def traces(found: dict[str, Any]) -> Traces:
    """A page of traces."""
    return Traces(
        traces=[trace(row) for row in found["rows"]],
        since=_moment(found["window"]["since"]),
        until=_until(found["window"]["until"]),
        next_cursor=found["next_cursor"],
        ingest=_ingest(found["ingest"]),
        notes=found["notes"],
    )


def stats(found: dict[str, Any]) -> Stats:
    """Counts of a window."""
    storage = found["storage"]
    return Stats(
        since=_moment(found["window"]["since"]),
        until=_until(found["window"]["until"]),
        levels=found["levels"],
        components=[
            Component(one["name"], one["levels"], _moment(one["last_seen"]))
            for one in found["components"]
        ],
        omitted=found["omitted_components"],
        ingest=_ingest(found["ingest"]),
        storage=Storage(**{**storage, "oldest": _moment(storage["oldest"])}),
        notes=found["notes"],
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
