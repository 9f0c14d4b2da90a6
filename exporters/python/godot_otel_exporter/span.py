"""One ended span into OTLP's ``Span``, in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags
from opentelemetry.trace import SpanKind, StatusCode

from godot_otel.redact import Redactor
from godot_otel_exporter._compat import attributes_of, has_more
from godot_otel_exporter.values import clean, fill_pairs, short_text, within

KINDS = {id(kind): kind.value + 1 for kind in SpanKind}  # OTLP's: 0 is unspecified
LOCAL: int = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
REMOTE: int = LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_UINT32, _UINT64, _UINT128 = 2**32, 2**64, 2**128


def add(spans: Any, span: Any, redactor: Redactor) -> int:
    """Add *span*, a ``ReadableSpan``, to *spans*.

    What cannot be encoded is replaced, field by field. Returns 1, or 0 when even that
    was not possible: a span without ids.
    """
    for form in (_as_it_is, _cleaned):
        target = spans.add()
        try:
            _fill(target, form(span), redactor)
        except Exception:
            spans.pop()
        else:
            return 1
    return 0


def _fill(target: Any, span: Any, redactor: Redactor) -> None:
    context, parent, status = span.context, span.parent, span.status
    target.trace_id = context.trace_id.to_bytes(16, "big")
    target.span_id = context.span_id.to_bytes(8, "big")
    if context.trace_state:
        target.trace_state = text_of(context.trace_state)
    target.flags = LOCAL
    if parent:
        target.parent_span_id = parent.span_id.to_bytes(8, "big")
        if parent.is_remote:
            target.flags = REMOTE
    target.name = short_text(span.name, redactor)
    target.kind = KINDS.get(id(span.kind), 0)
    target.start_time_unix_nano = span.start_time
    target.end_time_unix_nano = span.end_time
    fill_pairs(target.attributes, attributes_of(span), redactor)
    if dropped := span.dropped_attributes:
        target.dropped_attributes_count = dropped
    if has_more(span):
        _fill_more(target, span, redactor)
    target.status.SetInParent()
    if status.status_code is not StatusCode.UNSET:
        target.status.code = status.status_code.value
    if status.description:
        target.status.message = short_text(status.description, redactor)


def _fill_more(target: Any, span: Any, redactor: Redactor) -> None:
    for event in span.events:
        _fill_event(target.events.add(), event, redactor)
    for link in span.links:
        _fill_link(target.links.add(), link, redactor)
    target.dropped_events_count = span.dropped_events
    target.dropped_links_count = span.dropped_links


def _fill_event(target: Any, event: Any, redactor: Redactor) -> None:
    target.name = short_text(event.name, redactor)
    target.time_unix_nano = event.timestamp
    fill_pairs(target.attributes, event.attributes or {}, redactor)
    target.dropped_attributes_count = event.dropped_attributes


def _fill_link(target: Any, link: Any, redactor: Redactor) -> None:
    context = link.context
    target.trace_id = context.trace_id.to_bytes(16, "big")
    target.span_id = context.span_id.to_bytes(8, "big")
    target.flags = REMOTE if context.is_remote else LOCAL
    fill_pairs(target.attributes, link.attributes or {}, redactor)
    target.dropped_attributes_count = link.dropped_attributes


def text_of(trace_state: Mapping[str, str]) -> str:
    """Return a trace state as its header has it."""
    return ",".join([f"{key}={value}" for key, value in trace_state.items()])


def _as_it_is(span: Any) -> Any:
    return span


def _cleaned(span: Any) -> Any:
    """Return *span* with every field made encodable, each by itself."""
    return SimpleNamespace(
        _events=True,  # let it look for both
        _links=True,
        context=_context(span.context),
        parent=_context(span.parent) if span.parent else None,
        name=_text(span.name),
        kind=span.kind if isinstance(span.kind, SpanKind) else None,
        start_time=within(span.start_time, _UINT64),
        end_time=within(span.end_time, _UINT64),
        attributes=_attributes(span.attributes),
        events=_each(span.events, _event),
        links=_each(span.links, _link),
        status=_status(span.status),
        dropped_attributes=within(span.dropped_attributes, _UINT32),
        dropped_events=within(span.dropped_events, _UINT32),
        dropped_links=within(span.dropped_links, _UINT32),
    )


def _context(context: Any) -> Any:
    state = context.trace_state
    return SimpleNamespace(
        trace_id=within(context.trace_id, _UINT128),
        span_id=within(context.span_id, _UINT64),
        is_remote=bool(context.is_remote),
        trace_state=clean(state) if isinstance(state, Mapping) else {},
    )


def _event(event: Any) -> Any:
    return SimpleNamespace(
        name=_text(event.name),
        timestamp=within(event.timestamp, _UINT64),
        attributes=_attributes(event.attributes),
        dropped_attributes=within(event.dropped_attributes, _UINT32),
    )


def _link(link: Any) -> Any:
    return SimpleNamespace(
        context=_context(link.context),
        attributes=_attributes(link.attributes),
        dropped_attributes=within(link.dropped_attributes, _UINT32),
    )


def _status(status: Any) -> Any:
    code = getattr(getattr(status, "status_code", None), "value", 0)
    return SimpleNamespace(
        status_code=SimpleNamespace(value=within(code, 3)),
        description=_text(getattr(status, "description", None)),
    )


def _each(items: Iterable[Any], form: Callable[[Any], Any]) -> list[Any]:
    """Return the items that can be cleaned: a bad one costs itself."""
    found = []
    for item in items:
        with suppress(Exception):
            found.append(form(item))
    return found


def _attributes(attributes: Any) -> Any:
    return clean(attributes) if isinstance(attributes, Mapping) else {}


def _text(value: Any) -> str:
    return str(clean(value)) if value is not None else ""
