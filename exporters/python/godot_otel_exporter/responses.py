"""What a caller reads in the response: the id of the trace that the request made.

Flask's, Django's and ASGI's instrumentations write what the one response propagator of
the process says; ``aiohttp_server`` does it for theirs.
"""

from __future__ import annotations

import uuid
from typing import Any

from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.propagators import (
    ResponsePropagator,
    TraceResponsePropagator,
    default_setter,
    get_global_response_propagator,
    set_global_response_propagator,
)
from opentelemetry.propagate import get_global_textmap
from opentelemetry.sdk.trace import Span, SpanProcessor

from godot_otel_exporter.diagnostics import report_once
from godot_otel_exporter.propagation import HEADER

ATTRIBUTE = "http.request.header.x-trace-id"

_EXPOSE = "Access-Control-Expose-Headers"
_OURS = (b"traceresponse", HEADER.encode())


def install() -> None:
    """Set the response propagator, unless the application has set one."""
    if get_global_response_propagator() is None:  # type: ignore[no-untyped-call]
        set_global_response_propagator(ResponseTraceId())  # type: ignore[no-untyped-call]
    add = getattr(trace.get_tracer_provider(), "add_span_processor", None)
    if add is not None and HEADER in get_global_textmap().fields:
        add(_OtherIds())


class ResponseTraceId(ResponsePropagator):
    """Writes ``traceresponse``, and ``X-Trace-ID`` where requests carry it too."""

    def inject(
        self,
        carrier: Any,
        context: Context | None = None,
        setter: Any = default_setter,
    ) -> None:
        """Write the headers into *carrier*; never raise."""
        try:
            self._inject(carrier, context, setter)
        except Exception as error:
            report_once(
                "response", "a response got no trace id: %s", type(error).__name__
            )

    def _inject(self, carrier: Any, context: Context | None, setter: Any) -> None:
        if isinstance(carrier, dict) and "type" in carrier:  # a message of ASGI
            if carrier["type"] != "http.response.start":
                return
            # A copy: applications send the same message or list again and again.
            carrier["headers"] = list(carrier.get("headers") or ())
            carrier["headers"] = _without_ours(carrier["headers"])
        span = trace.get_current_span(context).get_span_context()
        if not span.is_valid:
            return
        TraceResponsePropagator().inject(carrier, context=context, setter=setter)
        if HEADER in get_global_textmap().fields and not _has(carrier, HEADER):
            setter.set(carrier, "X-Trace-ID", str(uuid.UUID(int=span.trace_id)))
            setter.set(carrier, _EXPOSE, "X-Trace-ID")


def _without_ours(pairs: list[Any]) -> list[Any]:
    if _OURS[0] not in {bytes(name).lower() for name, _ in pairs}:
        return pairs
    return [
        pair
        for pair in pairs
        if bytes(pair[0]).lower() not in _OURS
        and not (
            bytes(pair[0]).lower() == _EXPOSE.lower().encode()
            and bytes(pair[1]).lower() in _OURS
        )
    ]


def _has(carrier: Any, header: str) -> bool:
    if isinstance(carrier, dict) and "type" in carrier:
        carrier = carrier["headers"]
    if isinstance(carrier, list):
        return any(name.lower() in (header, header.encode()) for name, *_ in carrier)
    carrier = getattr(carrier, "headers", carrier)
    return header in carrier


class _OtherIds(SpanProcessor):
    """Shows on the request's span the caller's id that is no trace id."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.kind is trace.SpanKind.SERVER:
            other = baggage.get_baggage(HEADER, parent_context)
            if isinstance(other, str):
                span.set_attribute(ATTRIBUTE, (other,))
