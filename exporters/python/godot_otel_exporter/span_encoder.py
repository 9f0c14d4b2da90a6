"""Ended spans into OTLP, by hand.

In: what OpenTelemetry's SDK hands to a processor or exporter. Out: the bytes of OTLP's
``ResourceSpans``. A span with a field that cannot be encoded takes the path of
``span``, field by field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, StatusCode

from godot_otel.redact import Redactor
from godot_otel_exporter import span, wire
from godot_otel_exporter._compat import (
    fields_of_event,
    fields_of_span,
    has_more,
    origin_of_span,
)
from godot_otel_exporter.groups import fill_resource, fill_scope
from godot_otel_exporter.pace import give_way
from godot_otel_exporter.pairs import Pairs
from godot_otel_exporter.span import KINDS, LOCAL, REMOTE, text_of
from godot_otel_exporter.values import short_text

_TURN = 256  # spans that are encoded in about 2 ms
_NAMES_MAX, _NAME_MAX = 1024, 200

_Scopes = dict[InstrumentationScope | None, list[bytes]]


class SpanEncoder:
    """Encodes the spans of one exporter."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._names: dict[str, bytes] = {}
        self._pairs = Pairs(Span, wire.SPAN_ATTRIBUTES, redactor)
        self._event_pairs = Pairs(Span.Event, wire.EVENT_ATTRIBUTES, redactor)
        self._link_pairs = Pairs(Span.Link, wire.LINK_ATTRIBUTES, redactor)

    def encode(self, spans: Sequence[ReadableSpan]) -> tuple[bytes, int]:
        """Encode *spans* as an OTLP request; return how many are in it."""
        groups: dict[int, tuple[Resource, _Scopes]] = {}
        places: dict[tuple[int, int], list[bytes]] = {}
        count = 0
        for number, one in enumerate(spans):
            give_way(number + 1, _TURN)
            try:
                data = self._span(one)
            except Exception:
                data = self._carefully(one)
            if data:
                count += 1
                resource, scope = origin_of_span(one)
                place = places.get((id(resource), id(scope)))
                if place is None:
                    scopes = groups.setdefault(id(resource), (resource, {}))[1]
                    place = scopes.setdefault(scope, [])
                    places[id(resource), id(scope)] = place
                place.append(data)
        return b"".join([self._group(*group) for group in groups.values()]), count

    def _group(self, resource: Resource, scopes: _Scopes) -> bytes:
        head = ResourceSpans()
        fill_resource(head, resource, self._redactor)
        parts = [head.SerializeToString()]
        for scope, spans in scopes.items():
            about = ScopeSpans()
            fill_scope(about, scope, self._redactor)
            data = b"".join((about.SerializeToString(), *spans))
            parts.append(wire.framed(wire.SCOPE_SPANS, data))
        return wire.framed(wire.RESOURCE_SPANS, b"".join(parts))

    def _span(self, one: ReadableSpan) -> bytes:
        (name, context, parent, kind, start, end, status, attributes, events,
         links) = fields_of_span(one)  # fmt: skip # in its order
        flags, lineage = LOCAL, b""
        if parent:
            lineage = wire.parent(parent.span_id)
            if parent.is_remote:
                flags = REMOTE
        head = wire.span_head(
            context.trace_id, context.span_id, KINDS[id(kind)], start, end, flags
        )
        parts = [head, lineage, self._names.get(name) or self._name(name)]
        if attributes:
            pair = self._pairs.encode
            parts += [pair(key, value) for key, value in attributes.copy().items()]
        if dropped := attributes.dropped:
            parts += wire.DROPPED_ATTRIBUTES, wire.varint(dropped)
        if state := context.trace_state:
            parts.append(wire.framed(wire.TRACE_STATE, text_of(state).encode()))
        if has_more(one):
            parts += self._more(events, links)
        if status.status_code is StatusCode.UNSET and not status.description:
            parts.append(wire.EMPTY_STATUS)
        else:
            message = self._text(status.description or "")
            parts.append(wire.status(status.status_code.value, message))
        return wire.framed(wire.SPANS, b"".join(parts))

    def _name(self, name: str) -> bytes:
        if len(self._names) >= _NAMES_MAX:
            self._names.clear()  # names made of data: keep memory bounded
        found = wire.framed(wire.NAME, self._text(name))
        if len(name) <= _NAME_MAX:
            self._names[name] = found
        return found

    def _more(self, events: Any, links: Any) -> list[bytes]:
        parts = [*map(self._event, events), *map(self._link, links)]
        if dropped := getattr(events, "dropped", 0):
            parts.append(wire.DROPPED_EVENTS + wire.varint(dropped))
        if dropped := getattr(links, "dropped", 0):
            parts.append(wire.DROPPED_LINKS + wire.varint(dropped))
        return parts

    def _event(self, event: Event) -> bytes:
        time, name, attributes = fields_of_event(event)
        parts = [wire.event_head(time, self._text(name))]
        if attributes:
            pair = self._event_pairs.encode
            parts += [pair(key, value) for key, value in attributes.copy().items()]
        if dropped := event.dropped_attributes:
            parts += wire.DROPPED_EVENT_ATTRIBUTES, wire.varint(dropped)
        return wire.framed(wire.EVENTS, b"".join(parts))

    def _link(self, link: Link) -> bytes:
        context = link.context
        flags = REMOTE if context.is_remote else LOCAL
        parts = [wire.link_head(context.trace_id, context.span_id, flags)]
        if attributes := link.attributes:
            pair = self._link_pairs.encode
            parts += [pair(key, value) for key, value in attributes.copy().items()]  # type: ignore[attr-defined] # as above
        if dropped := link.dropped_attributes:
            parts += wire.DROPPED_LINK_ATTRIBUTES, wire.varint(dropped)
        return wire.framed(wire.LINKS, b"".join(parts))

    def _text(self, text: str) -> bytes:
        return short_text(text, self._redactor).encode()

    def _carefully(self, one: ReadableSpan) -> bytes:
        """Encode one field by field; nothing when even that is not possible."""
        found = ScopeSpans()
        try:
            span.add(found.spans, one, self._redactor)
        except Exception:  # not even a span
            return b""
        return found.SerializeToString()
