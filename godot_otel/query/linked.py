"""The traces on the other side of a queue: those a trace links to, or is linked from.

A consumer's span names its producers by links. From a producer's side consumers are
looked for among the spans of the time after it, for a moment.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from godot_otel import store
from godot_otel.query.pace import Pace
from godot_otel.query.reader import fetch
from godot_otel.query.root import Root, roots
from godot_otel.query.slices import Slice, slices
from godot_otel.query.span import CONSUMER, EPOCH, PRODUCER, Span

MAX_LINKED = 20
_WAITS = timedelta(hours=1)  # how long a message is looked for
_MOMENT = 0.05  # seconds of looking
_MANY = 200


@dataclass(frozen=True, slots=True)
class Linked:
    """Another trace, and from where it is linked to."""

    trace_id: str
    span_id: str
    """The span of the other trace."""
    own_span: str
    """The span of this one, the first on whose account it is."""
    links: int
    root: Root | None = None
    """None: it has no spans here."""
    incoming: bool = False
    """Whether the other trace links to this one."""

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        return {
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "own_span": self.own_span,
            "links": self.links,
            "incoming": self.incoming,
            "root": self.root.as_json() if self.root else None,
        }


async def linked(connection: store.Connection, spans: Iterable[Span]) -> list[Linked]:
    """Follow links out of a trace, and into it, MAX_LINKED each, the oldest first."""
    spans = list(spans)
    return await _out(connection, spans) + await _into(connection, spans)


async def _out(connection: store.Connection, spans: list[Span]) -> list[Linked]:
    found: dict[str, tuple[str, str, int]] = {}
    for span in spans:
        for trace_id, span_id in _links(span):
            first, ours, links = found.get(trace_id, (span_id, span.span_id, 0))
            found[trace_id] = (first, ours, links + 1)
    some = dict(list(found.items())[:MAX_LINKED])
    known = await roots(connection, [UUID(hex=one) for one in some]) if some else {}
    return [Linked(one, *how, known.get(one)) for one, how in some.items()]


async def _into(connection: store.Connection, spans: list[Span]) -> list[Linked]:
    """Consumers in other traces, looked for as long as a moment after producers."""
    here = {span.parent_id for span in spans if span.kind == CONSUMER}
    producers = (one for one in spans if one.kind == PRODUCER)
    sent = next((one for one in producers if one.span_id not in here), None)
    if sent is None:
        return []
    found: dict[UUID, tuple[str, str, int]] = {}
    deadline = time.monotonic() + _MOMENT
    async for consumers in _after(connection, sent):
        for trace_id, span_id, links in consumers:
            own = [
                str(one.get("span_id", ""))
                for one in links
                if one.get("trace_id") == sent.trace_id
            ]
            first, ours, number = found.get(trace_id, (bytes(span_id).hex(), own[0], 0))
            found[trace_id] = (first, ours, number + len(own))
        if len(found) >= MAX_LINKED or time.monotonic() > deadline:
            break
    some = dict(list(found.items())[:MAX_LINKED])
    known = await roots(connection, some) if some else {}
    return [
        Linked(one.hex, *how, known.get(one.hex), incoming=True)
        for one, how in some.items()
    ]


async def _after(
    connection: store.Connection, sent: Span
) -> AsyncIterator[list[tuple[Any, ...]]]:
    """Consumers of the time after *sent*, bit by bit."""
    since = EPOCH + timedelta(microseconds=sent.start_ns // 1000)
    pace = Pace(longest=_MOMENT)

    def read(bit: Slice) -> Awaitable[list[tuple[Any, ...]]]:
        return _consumers(connection, bit, sent)

    for piece in await slices(connection, "spans", since, since + _WAITS):
        async for found, _ in pace.read(connection, piece, read, newest=False):
            yield found or []


async def _consumers(
    connection: store.Connection, bit: Slice, sent: Span
) -> list[tuple[Any, ...]]:
    """Consumers of other traces that link to the trace of *sent*."""
    return await fetch(
        connection,
        "SELECT trace_id, span_id, links FROM spans WHERE time >= %s AND time < %s"
        " AND kind = %s AND links @> %s::jsonb AND trace_id <> %s"
        " ORDER BY time LIMIT %s",
        [
            bit.lower, bit.upper, CONSUMER, json.dumps([{"trace_id": sent.trace_id}]),
            UUID(hex=sent.trace_id), _MANY,
        ],
    )  # fmt: skip # one call


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
