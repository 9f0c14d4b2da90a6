"""Trace ids in requests and responses, beyond what W3C's ``traceparent`` does.

OpenTelemetry's instrumentations carry ``traceparent`` by themselves. Here is what old
services speak, ``X-Trace-ID: <uuid>``; ``responses`` is what a caller gets back.
"""

from __future__ import annotations

import re
import uuid

# No more than this: OpenTelemetry loads propagators while it loads ``propagate``.
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.propagators import textmap

HEADER = "x-trace-id"

_UUID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}",
    re.IGNORECASE,
)
# A token that may travel in a header again: no spaces, no control characters.
_OTHER_ID = re.compile(r"[\x21-\x7e]{1,128}")


class XTraceIdPropagator(textmap.TextMapPropagator):
    """Reads and writes ``X-Trace-ID: <uuid>``; on when ``OTEL_PROPAGATORS`` names it.

    ``traceparent`` wins when a request has both. An id that is no uuid cannot be a
    trace id: it stays as it is, in the baggage and, on the request's span, in the
    attribute ``http.request.header.x-trace-id``.
    """

    def extract(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        getter: textmap.Getter[textmap.CarrierT] = textmap.default_getter,
    ) -> Context:
        """Return *context* with the caller's trace in it."""
        context = Context() if context is None else context
        if trace.get_current_span(context).get_span_context().is_valid:
            return context
        values = getter.get(carrier, HEADER)
        text = values[0].strip() if values and isinstance(values[0], str) else ""
        if _UUID.fullmatch(text):
            return _in_trace(uuid.UUID(text).int, context)
        if _OTHER_ID.fullmatch(text):
            return baggage.set_baggage(HEADER, text, context)
        return context

    def inject(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        setter: textmap.Setter[textmap.CarrierT] = textmap.default_setter,
    ) -> None:
        """Write the active trace's id as a uuid."""
        span = trace.get_current_span(context).get_span_context()
        if span.is_valid:
            setter.set(carrier, HEADER, str(uuid.UUID(int=span.trace_id)))

    @property
    def fields(self) -> set[str]:
        """The header that ``inject`` writes."""
        return {HEADER}


def _in_trace(trace_id: int, context: Context) -> Context:
    if not trace_id:
        return context
    # An old service names no span, and a parent without an id would be ignored; the
    # same trace gets the same one. Sampled: else samplers would drop all its spans.
    parent = trace.SpanContext(
        trace_id,
        trace_id & (2**64 - 1) or 1,
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), context)


def install() -> None:
    """Give responses the trace's id, unless the application has chosen what they get.

    Must run after the providers exist.
    """
    from godot_otel_exporter import responses

    responses.install()


def after_instrumentor(name: str) -> None:
    """Mend what the instrumentor called *name*, just activated, does not do."""
    if name == "aiohttp-server":
        from godot_otel_exporter.aiohttp_server import mend

        mend()
