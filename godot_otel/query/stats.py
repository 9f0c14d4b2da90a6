"""How many lines (or spans) of what kind: from the rollups where they suffice."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from godot_otel import store
from godot_otel.query.counts import Count, Counted, count
from godot_otel.query.dictionary import Resource, Template, resources, templates
from godot_otel.query.emptiness import why_empty
from godot_otel.query.fields import Fields, as_text, sample_fields
from godot_otel.query.filters import (
    LEVELS,
    FilterError,
    Filters,
    check_text,
    level_name,
)
from godot_otel.query.freshness import Ingest, answering
from godot_otel.query.histogram import Histogram, histogram, width
from godot_otel.query.line import rfc3339, window
from godot_otel.query.operations import (
    OperationCount,
    check_operations,
    operations,
    why_none,
)
from godot_otel.query.reader import Reader
from godot_otel.query.storage import Storage, storage

MAX_GROUPS = 50
NONE = "(none)"
"""The group of lines without a version or without the attribute."""
_USABLE = {
    "component", "logger", "environment", "version", "level", "since", "until",
    "search", "where",
}  # fmt: skip # names of filters
_BY: dict[str, tuple[str, ...]] = {
    "service": ("service",), "level": ("level",), "template": ("template",),
    "environment": ("environment",), "version": ("resource",),
}  # fmt: skip # what lines are grouped by, and what is counted for it


@dataclass(slots=True)
class Group:
    """The lines of one service, template, version, or value of an attribute."""

    name: str
    levels: dict[str, int] = field(default_factory=dict)
    last_seen: datetime | None = None

    @property
    def lines(self) -> int:
        """All levels together."""
        return sum(self.levels.values())

    def add(self, level: str, count: Count) -> None:
        """Take lines of one level in."""
        self.levels[level] = self.levels.get(level, 0) + count.lines
        self.last_seen = max(self.last_seen or count.last, count.last)

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        return {
            "name": self.name,
            "levels": self.levels,
            "last_seen": rfc3339(self.last_seen) if self.last_seen else None,
        }


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of a window, of whole minutes where the rollups answer."""

    since: datetime | None
    until: datetime | None
    levels: dict[str, int]
    group_by: str
    groups: list[Group]
    omitted: int
    """How many groups more there are, with fewer lines than those listed."""
    histogram: Histogram | None
    fields: Fields | None
    ingest: Ingest
    storage: Storage
    notes: list[str]
    operations: list[OperationCount] | None = None
    """Where spans are counted by operation, and nothing else is."""

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives; services are called components."""
        if self.operations is not None:
            return self._of_operations(self.operations)
        service = self.group_by == "service"
        grouped = {} if service else {"group_by": self.group_by}
        answer = {
            "window": window(self.since, self.until),
            "levels": self.levels,
            **grouped,
            "components" if service else "groups": [
                one.as_json() for one in self.groups
            ],
            "omitted_components" if service else "omitted_groups": self.omitted,
        }
        if self.histogram:
            answer["histogram"] = self.histogram.as_json()
        if self.fields:
            answer["fields"] = self.fields.as_json()
        return {
            **answer,
            "ingest": self.ingest.as_json(),
            "storage": self.storage.as_json(),
            "notes": self.notes,
        }

    def _of_operations(self, operations_: list[OperationCount]) -> dict[str, Any]:
        return {
            "window": window(self.since, self.until),
            "levels": self.levels,
            "group_by": self.group_by,
            "operations": [one.as_json() for one in operations_],
            "omitted_operations": self.omitted,
            "ingest": self.ingest.as_json(),
            "storage": self.storage.as_json(),
            "notes": self.notes,
        }


async def stats(
    reader: Reader,
    filters: Filters,
    *,
    group_by: str = "service",
    bucket: str = "",
    fields: str = "",
) -> Stats:
    """Count lines by level and *group_by*; with *bucket* also over time.

    *group_by* is service, level, template, environment, version, or an attribute's
    key; with operation, spans are counted instead. *bucket* is a width, or ``auto``.
    *fields* is ``true`` for the keys that lines have, or a key for its values.

    Raises:
        FilterError: one of these is none, or a filter is not one for counts.
    """
    by_level = group_by.strip() in ("", "level")
    group_by = group_by.strip() or "service"
    if group_by == "operation":
        check_operations(filters, bucket, fields)
        return await _operations(reader, filters)
    _check(filters, group_by, fields)
    assert filters.since is not None
    since, end = filters.since, filters.until or datetime.now(UTC)
    wide = width(bucket, since, end) if bucket.strip() else None
    async with answering(reader, since) as answer:
        connection, facts = answer.connection, answer.ingest
        counted = await count(
            connection,
            filters,
            (*_BY.get(group_by, (f"@{group_by}", "resource")), "level"),
            since=since,
            until=filters.until,
            bucket=wide,
        )
        named = await _Names.of(connection, group_by, counted)
        seen = None
        if key := fields.strip():
            key = "" if key.lower() == "true" else key
            seen = await sample_fields(connection, filters, key, since, filters.until)
        stored = await storage(reader, connection)
        notes = counted.notes()
        if not counted.groups and not counted.stopped:
            notes += await why_empty(connection, filters, since, filters.until, facts)
    parts = [_Part.of(key, count, named, wide) for key, count in counted.groups.items()]
    groups, levels = _grouped(parts), _in_order(_levels(parts))
    names = [*levels] if by_level else [one.name for one in groups]
    over_time = None
    if wide:
        each = ((p.start, p.level if by_level else p.group, p.count) for p in parts)
        over_time = histogram(each, wide, counted.since or since, end, names)
    return Stats(
        since=counted.since,
        until=filters.until,
        levels=levels,
        group_by=group_by,
        groups=groups[:MAX_GROUPS],
        omitted=max(0, len(groups) - MAX_GROUPS),
        histogram=over_time,
        fields=seen,
        ingest=facts,
        storage=stored,
        notes=notes,
    )


async def _operations(reader: Reader, filters: Filters) -> Stats:
    assert filters.since is not None
    since = filters.since.replace(second=0, microsecond=0)
    async with answering(reader, since) as answer:
        connection, facts = answer.connection, answer.ingest
        found = await operations(connection, filters, since, filters.until)
        notes = [] if found else await why_none(connection, filters, facts)
        stored = await storage(reader, connection)
    return Stats(
        since=since,
        until=filters.until,
        levels={},
        group_by="operation",
        groups=[],
        omitted=max(0, len(found) - MAX_GROUPS),
        histogram=None,
        fields=None,
        ingest=facts,
        storage=stored,
        notes=notes,
        operations=found[:MAX_GROUPS],
    )


def _check(filters: Filters, group_by: str, fields: str) -> None:
    if more := sorted(set(filters.given) - _USABLE):
        raise FilterError(f"{more[0]}: counts are not kept by this; ask for lines")
    check_text("group_by", group_by)
    check_text("fields", fields)


@dataclass(frozen=True, slots=True)
class _Names:
    """What the keys of counts stand for."""

    group_by: str
    resources: dict[int, Resource]
    templates: dict[int, Template]

    @classmethod
    async def of(
        cls, connection: store.Connection, group_by: str, counted: Counted
    ) -> _Names:
        known = cls(group_by, {}, {})
        # before the level, which is last
        ids = {key[-2] for key in counted.groups}
        if group_by == "template":
            known.templates.update(await templates(connection, ids))
        elif group_by == "version" or group_by not in _BY:
            known.resources.update(await resources(connection, ids))
        return known

    def group(self, key: tuple[Any, ...]) -> str:
        """The name of a group; *key* is without bucket and level."""
        if self.group_by == "level":
            return level_name(key[0]) or "UNKNOWN"
        if self.group_by == "template":
            return self.templates.get(key[0], Template()).text
        if self.group_by == "version":
            return self.resources.get(key[0], Resource()).version or NONE
        if self.group_by in _BY:
            return str(key[0]) or NONE
        value, resource = key
        if value is None:
            attributes = self.resources.get(resource, Resource()).attributes or {}
            value = attributes.get(self.group_by)
        return NONE if value is None else as_text(value)


@dataclass(frozen=True, slots=True)
class _Part:
    """One count with its names."""

    start: datetime | None
    group: str
    level: str
    count: Count

    @classmethod
    def of(
        cls, key: tuple[Any, ...], count: Count, names: _Names, wide: timedelta | None
    ) -> _Part:
        start, rest = (key[0], key[1:]) if wide else (None, key)
        level = level_name(rest[-1]) or "UNKNOWN"
        return cls(start, names.group(rest[:-1]), level, count)


def _grouped(parts: list[_Part]) -> list[Group]:
    """Sum up, the group with most lines first."""
    found: dict[str, Group] = {}
    for part in parts:
        found.setdefault(part.group, Group(part.group)).add(part.level, part.count)
    for group in found.values():
        group.levels = _in_order(group.levels)
    return sorted(found.values(), key=lambda one: (-one.lines, one.name))


def _levels(parts: list[_Part]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for part in parts:
        totals[part.level] = totals.get(part.level, 0) + part.count.lines
    return totals


def _in_order(levels: dict[str, int]) -> dict[str, int]:
    names = [*LEVELS, "UNKNOWN"]
    return {name: levels[name] for name in names if name in levels}
