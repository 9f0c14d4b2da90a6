"""Ended spans into OTLP, by hand where it pays.

In: what OpenTelemetry's SDK hands to a processor or exporter. Out: the bytes of OTLP's
``ResourceSpans``. A span with events, links or anything else out of the ordinary takes
the path of ``span``, field by field.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import StatusCode

from godot_otel.redact import Redactor
from godot_otel_exporter import span, wire
from godot_otel_exporter._compat import fields_of_span
from godot_otel_exporter.groups import fill_resource, fill_scope
from godot_otel_exporter.pace import give_way
from godot_otel_exporter.pairs import SHORT, Pairs
from godot_otel_exporter.span import KINDS, LOCAL, REMOTE

_TURN = 256  # spans that are encoded in about 2 ms

_Scopes = dict[InstrumentationScope | None, list[bytes]]


class SpanEncoder:
    """Encodes the spans of one exporter."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._pairs = Pairs(Span, wire.SPAN_ATTRIBUTES, redactor)

    def encode(self, spans: Sequence[ReadableSpan]) -> tuple[bytes, int]:
        """Encode *spans* as an OTLP request; return how many are in it."""
        found: dict[int, tuple[Resource, _Scopes]] = {}
        places: dict[tuple[int, int], list[bytes]] = {}
        count = 0
        for number, one in enumerate(spans):
            give_way(number + 1, _TURN)
            try:
                data = self._span(one) or self._carefully(one)
            except Exception:
                data = self._carefully(one)
            if data:
                count += 1
                resource, scope = one.resource, one.instrumentation_scope
                place = places.get((id(resource), id(scope)))
                if place is None:
                    scopes = found.setdefault(id(resource), (resource, {}))[1]
                    place = scopes.setdefault(scope, [])
                    places[id(resource), id(scope)] = place
                place.append(data)
        groups = [self._group(*group) for group in found.values()]
        return b"".join(groups), count

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
        """Encode one span; nothing when it is one for the careful way."""
        (name, context, parent, kind, start, end, status, attributes, events,
         links) = fields_of_span(one)  # fmt: skip # in its order
        if events or links or context.trace_state or len(name) > SHORT:
            return b""
        if events.dropped or links.dropped:
            return b""
        flags, lineage = LOCAL, b""
        if parent:
            lineage = wire.parent(parent.span_id)
            if parent.is_remote:
                flags = REMOTE
        head = wire.span_head(
            context.trace_id, context.span_id, KINDS[id(kind)], start, end, flags
        )
        text = self._redactor.text(name)
        parts = [head, lineage, wire.framed(wire.NAME, text.encode())]
        pair = self._pairs.encode
        parts += [pair(key, value) for key, value in attributes.copy().items()]
        if attributes.dropped:
            parts += (wire.DROPPED_ATTRIBUTES, wire.varint(attributes.dropped))
        if status.status_code is StatusCode.UNSET and not status.description:
            parts.append(wire.EMPTY_STATUS)
        else:
            message = self._redactor.text(status.description or "")
            if len(message) > SHORT:
                return b""
            parts.append(wire.status(status.status_code.value, message.encode()))
        return wire.framed(wire.SPANS, b"".join(parts))

    def _carefully(self, one: ReadableSpan) -> bytes:
        """Encode one field by field; nothing when even that is not possible."""
        found = ScopeSpans()
        try:
            span.add(found.spans, one, self._redactor)
        except Exception:  # not even a span
            return b""
        return found.SerializeToString()
