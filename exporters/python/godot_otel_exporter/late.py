"""The trace of records that are logged when the request's span has ended already.

Servers log unhandled exceptions and access lines outside of the span: the instrumented
application has returned to them by then. The exception still knows the frame that held
its span; the span that ended last in this thread or task is the access line's, when
method and path agree. In doubt there is no trace: a wrong one is worse than none.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any
from urllib.parse import unquote

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Span as AnySpan
from opentelemetry.trace import SpanContext, SpanKind

LOGGERS = frozenset({
    "aiohttp.access", "django.request", "django.server", "gunicorn.access",
    "uvicorn.access", "werkzeug",
})  # fmt: skip # a list
"""Loggers of access lines, and of Django's line about a response that is an error."""

LONGEST_SECONDS = 60.0
"""How long after the span an access line may come: a streamed body takes its time."""

_INSTRUMENTATION = "opentelemetry.instrumentation."
_FLASK = "opentelemetry-flask.span_key"
_DEEPEST = 8  # exceptions that are causes of causes

_REQUEST_LINE = re.compile(r"([A-Z]+) (\S+) HTTP/\d")
_HOST = re.compile(r"^[a-z]+://[^/?]*")


class _Ended:
    """A request's span that ended; one for every copy of the context."""

    __slots__ = ("attributes", "span_context", "taken", "time")

    def __init__(self, span: ReadableSpan) -> None:
        self.span_context: SpanContext | None = span.context
        self.attributes: Mapping[str, Any] = span.attributes  # type: ignore[assignment] # never None
        self.taken: set[str] = set()
        self.time = time.monotonic()


_ended: ContextVar[_Ended | None] = ContextVar("godot_otel_ended", default=None)


def install(tracer_provider: Any) -> None:
    """Remember from now on which request ended last, by thread and task."""
    if isinstance(tracer_provider, TracerProvider):  # others' spans cannot be followed
        tracer_provider.add_span_processor(_Remember())
        tracer_provider.sampler = _RecordServers(tracer_provider.sampler)


class _RecordServers(Sampler):
    """Shows ``_Remember`` requests that are not sampled too: their lines are kept.

    They are recorded, and neither exported nor sampled further down. As every span
    passes here when it starts, this is also where one request ends the wait for the
    line of the last.
    """

    def __init__(self, inner: Sampler) -> None:
        self._inner = inner
        self._should_sample = inner.should_sample

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Any = None,
        *arguments: Any,
    ) -> SamplingResult:
        result = self._should_sample(
            parent_context, trace_id, name, kind, attributes, links, *arguments
        )
        if kind is SpanKind.SERVER:
            if (last := _ended.get()) is not None:
                last.span_context = None  # the next request: that line never came
            if result.decision is Decision.DROP:
                # With the attributes, which dropping leaves out: they tell requests
                # apart.
                decision = Decision.RECORD_ONLY
                return SamplingResult(decision, attributes, result.trace_state)
        return result

    def get_description(self) -> str:
        return self._inner.get_description()


class _Remember(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        if span.kind is SpanKind.SERVER:
            _ended.set(_Ended(span))


def span_context_of(record: logging.LogRecord) -> SpanContext | None:
    """Return the span that *record* is about, None in doubt; never raise.

    To be called when no span is active, and *record* has an exception or its logger is
    one of ``LOGGERS``. Each of these has one line about a request, and gets it once.
    """
    try:
        if record.name in LOGGERS:
            return _of_access_line(record) or _of_exception(*sys.exc_info()[1:])
        if isinstance(record.exc_info, tuple):
            return _of_exception(*record.exc_info[1:])
    except Exception:  # noqa: S110 # the record goes on without
        pass
    return None


def _of_access_line(record: logging.LogRecord) -> SpanContext | None:
    last = _ended.get()
    if last is None or last.span_context is None or record.name in last.taken:
        return None
    if time.monotonic() - last.time > LONGEST_SECONDS:
        return None
    line = _request_line(record)
    # aiohttp runs each request in a task of its own: there can be no other.
    if line != _request(last.attributes) if line else record.name != "aiohttp.access":
        return None
    last.taken.add(record.name)
    return last.span_context


def _request_line(record: logging.LogRecord) -> tuple[str, str] | None:
    """Return method and path of an access line, as far as its format shows them."""
    request = getattr(record, "request", None)  # Django's
    if isinstance(getattr(request, "method", None), str):
        return request.method, _path(request.path)  # type: ignore[union-attr] # as tested
    text: Any = None
    if isinstance(record.args, Mapping):
        text = record.args.get("r")  # gunicorn's, whatever the format shows
    found = _REQUEST_LINE.search(str(text) if text else record.getMessage())
    return (found[1], _path(found[2])) if found else None


def _request(attributes: Mapping[str, Any]) -> tuple[str, str]:
    """Return method and path of a request's span, by old and new conventions."""
    method = attributes.get("http.request.method") or attributes.get("http.method")
    for name in ("url.path", "http.target", "http.url", "url.full"):
        if attributes.get(name):
            return str(method), _path(str(attributes[name]))
    return str(method), ""


def _path(target: str) -> str:
    return unquote(_HOST.sub("", target).partition("?")[0])


def _of_exception(
    error: BaseException | None, traceback: TracebackType | None, depth: int = 0
) -> SpanContext | None:
    """Return the outermost span that *error* passed, else one of what caused it."""
    while traceback is not None:
        frame = traceback.tb_frame
        if str(frame.f_globals.get("__name__")).startswith(_INSTRUMENTATION):
            for span in _spans(frame.f_locals):
                if (span_context := span.get_span_context()).is_valid:
                    return span_context
        traceback = traceback.tb_next
    if error is None or depth > _DEEPEST:
        return None
    if isinstance(error, BaseExceptionGroup):
        found = [
            _of_exception(one, one.__traceback__, depth + 1) for one in error.exceptions
        ]
        # Of several requests, none is the one.
        if len({context.trace_id for context in found if context}) == 1:
            return next(context for context in found if context)
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
    return _of_exception(cause, cause.__traceback__, depth + 1) if cause else None


def _spans(variables: Mapping[str, Any]) -> Iterator[AnySpan]:
    for value in list(variables.values()):
        if type(value) is dict:  # Flask's has its span in the request's environ
            value = value.get(_FLASK)
        # Not isinstance: proxies of the application answer that, or raise.
        if issubclass(type(value), AnySpan):
            yield value
