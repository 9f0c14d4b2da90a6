"""The traces that a trace's spans link to: of a consumer those that it was sent by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from godot_otel import store
from godot_otel.query.root import Root, roots
from godot_otel.query.span import Span

MAX_LINKED = 20


@dataclass(frozen=True, slots=True)
class Linked:
    """Another trace, and from where it is linked to."""

    trace_id: str
    span_id: str
    """The span of the other trace."""
    from_span: str
    """The span of this one, the first that links there."""
    links: int
    root: Root | None = None
    """None: it has no spans here."""

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        return {
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "from_span": self.from_span,
            "links": self.links,
            "root": self.root.as_json() if self.root else None,
        }


async def linked(connection: store.Connection, spans: Iterable[Span]) -> list[Linked]:
    """Follow links out of a trace, the first MAX_LINKED by the time of their spans."""
    found: dict[str, tuple[str, str, int]] = {}
    for span in spans:
        for trace_id, span_id in _links(span):
            first, ours, links = found.get(trace_id, (span_id, span.span_id, 0))
            found[trace_id] = (first, ours, links + 1)
    some = dict(list(found.items())[:MAX_LINKED])
    known = await roots(connection, [UUID(hex=one) for one in some]) if some else {}
    return [Linked(one, *how, known.get(one)) for one, how in some.items()]


def _links(span: Span) -> Iterable[tuple[str, str]]:
    """Where a span links to, other traces alone."""
    for link in span.links:
        trace_id, span_id = link.get("trace_id", ""), link.get("span_id", "")
        if trace_id != span.trace_id and _is_hex(trace_id, 32):
            yield trace_id, str(span_id)


def _is_hex(text: Any, digits: int) -> bool:
    try:
        return isinstance(text, str) and len(bytes.fromhex(text)) * 2 == digits
    except ValueError:
        return False
