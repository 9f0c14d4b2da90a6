"""Which attributes lines have, and which values: of a sample of the newest lines."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from godot_otel import store
from godot_otel.query.dictionary import Resource, resources
from godot_otel.query.filters import Filters
from godot_otel.query.line import Line, rfc3339
from godot_otel.query.walk import prepare

SAMPLE = 1000  # lines
MAX_SHOWN = 50
TOP = 3  # values of a key, where keys are counted


@dataclass(frozen=True, slots=True)
class Fields:
    """How often keys, or the values of one key, are in the newest lines."""

    key: str
    """Empty: keys are counted, each with its most frequent values."""
    counts: list[tuple[str, int]]
    top: dict[str, list[tuple[str, int]]]
    """Of each key that was counted."""
    distinct: int
    lines: int
    """How many of the sampled lines have the key."""
    sampled: int
    since: datetime | None
    """When the oldest sampled line is from."""

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        what = "values" if self.key else "keys"
        one = "value" if self.key else "key"
        facts = {"key": self.key, "lines_with_key": self.lines} if self.key else {}
        return {
            **facts,
            what: [
                {one: name, "lines": n, **self._top(name)} for name, n in self.counts
            ],
            f"distinct_{what}": self.distinct,
            "sampled_lines": self.sampled,
            "sampled_since": rfc3339(self.since, 0) if self.since else None,
        }

    def _top(self, name: str) -> dict[str, Any]:
        if self.key:
            return {}
        return {"top": [{"value": value, "lines": n} for value, n in self.top[name]]}


async def sample_fields(
    connection: store.Connection,
    filters: Filters,
    key: str,
    since: datetime | None,
    until: datetime | None,
) -> Fields:
    """Count the attributes of the newest lines; with *key*, its values.

    An attribute of the line counts before one of its resource, as in ``where``.
    """
    walk = await prepare(connection, filters, since, until, newest=True)
    lines, _ = await walk.read(connection, None, SAMPLE)
    whose = await resources(connection, {one.resource_id for one in lines})
    values: dict[str, Counter[str]] = {}
    for one in lines:
        attributes = _all(one, whose)
        for name in [key] if key else attributes:
            if name in attributes:
                values.setdefault(name, Counter())[as_text(attributes[name])] += 1
    keys = Counter({name: found.total() for name, found in values.items()})
    counter = values.get(key, Counter()) if key else keys
    counts = counter.most_common(MAX_SHOWN)
    return Fields(
        key=key,
        counts=counts,
        top={} if key else {name: values[name].most_common(TOP) for name, _ in counts},
        distinct=len(counter),
        lines=keys[key],
        sampled=len(lines),
        since=lines[-1].time if lines else None,
    )


def _all(one: Line, whose: dict[int, Resource]) -> dict[str, Any]:
    resource = whose.get(one.resource_id)
    return {**((resource and resource.attributes) or {}), **one.attributes}


def as_text(value: Any) -> str:
    """Write an attribute's value as ``where`` compares it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
