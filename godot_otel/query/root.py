"""What traces are of: their root operations, found by their ids."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from godot_otel import store
from godot_otel.query.reader import fetch
from godot_otel.query.slices import index_slices
from godot_otel.query.span import ERROR, KINDS, STATUSES, milliseconds, named


@dataclass(frozen=True, slots=True)
class Root:
    """The span that began a trace, or as long as it is not here, the first that is."""

    service: str
    name: str
    kind: int
    status: int
    duration_ns: int
    arrived: bool
    """Whether it is the root, and not the first of others."""

    @property
    def failed(self) -> bool:
        """Whether its status is an error."""
        return self.status == ERROR

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        return {
            "service": self.service,
            "name": self.name,
            "kind": named(KINDS, self.kind),
            "status": named(STATUSES, self.status),
            "duration_ms": milliseconds(self.duration_ns),
            "arrived": self.arrived,
        }


async def roots(connection: store.Connection, ids: Collection[UUID]) -> dict[str, Root]:
    """The root of each trace that has spans, by its id in hex."""
    found: dict[str, Root] = {}
    for piece, having in await index_slices(connection, "spans", ids):
        rows = await fetch(
            connection,
            "SELECT DISTINCT ON (trace_id) trace_id, service, name, kind, status,"
            " duration_ns, parent_id IS NULL FROM spans"
            " WHERE time >= %s AND time < %s AND trace_id = ANY(%s)"
            " ORDER BY trace_id, parent_id IS NOT NULL, time, time_nanos",
            [piece.lower, piece.upper, having],
        )
        for trace_id, *rest in rows:
            one, known = Root(*rest), found.get(trace_id.hex)
            if known is None or (one.arrived and not known.arrived):
                found[trace_id.hex] = one
    return found
