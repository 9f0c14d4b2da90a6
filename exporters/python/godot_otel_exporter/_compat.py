"""Every import of OpenTelemetry that may move between releases, in one place.

OpenTelemetry's logs signal is still behind underscores; when a release moves a name,
only this file changes.
"""

from __future__ import annotations

import os
import warnings
from operator import attrgetter
from typing import Any

from opentelemetry._logs import get_logger_provider
from opentelemetry.context import _RUNTIME_CONTEXT, get_current
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.instrumentation.auto_instrumentation._load import (
    _load_instrumentors as load_instrumentors,
)
from opentelemetry.sdk._configuration import _OTelSDKConfigurator as SdkConfigurator
from opentelemetry.sdk._logs import (
    LoggerProvider,
    LogRecordProcessor,
    ReadableLogRecord,
    ReadWriteLogRecord,
)
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace.propagation import _SPAN_KEY as SPAN_KEY

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it is deprecated, but people still switch it on
    from opentelemetry.sdk._logs import LoggingHandler as SdkLoggingHandler

__all__ = [
    "SPAN_KEY",
    "BatchLogRecordProcessor",
    "LogRecordExportResult",
    "LogRecordExporter",
    "LogRecordProcessor",
    "LoggerProvider",
    "ReadWriteLogRecord",
    "ReadableLogRecord",
    "SdkConfigurator",
    "SdkLoggingHandler",
    "attributes_of",
    "current_context",
    "fields_of_event",
    "fields_of_span",
    "get_logger_provider",
    "has_more",
    "lighten",
    "limits_of",
    "load_instrumentors",
    "origin_of_span",
    "processors_of",
    "span_processors_of",
    "takes_records_unchanged",
]

current_context = (
    _RUNTIME_CONTEXT._current_context.get
    if type(_RUNTIME_CONTEXT) is ContextVarsRuntimeContext
    else get_current
)
"""Returns OpenTelemetry's current context: every log call asks, so with no detour."""

processors_of = attrgetter("_multi_log_record_processor._log_record_processors")
"""Returns the tuple of a provider's processors: another one once it changes."""

span_processors_of = attrgetter("_active_span_processor._span_processors")
"""Returns those of a provider of tracers."""

fields_of_span = attrgetter(
    "_name", "_context", "_parent", "_kind", "_start_time", "_end_time", "_status",
    "_attributes", "_events", "_links",
)  # fmt: skip # one list
"""Returns what an ended span holds; asking its properties takes twice as long."""


fields_of_event = attrgetter("_timestamp", "_name", "_attributes")
"""Returns what an event of a span holds."""

origin_of_span = attrgetter("_resource", "_instrumentation_scope")
"""Returns whose span it is."""


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Return a span's attributes in a dictionary of their own.

    As copies are made by the interpreter itself; going through the views of the SDK's
    own mapping takes several times as long.
    """
    return span.attributes.copy()  # type: ignore[union-attr, no-any-return] # a proxy


def has_more(span: ReadableSpan) -> bool:
    """Say whether a span has or had events or links; asking itself copies both."""
    events, links = span._events, span._links
    return bool(
        events or links or getattr(events, "dropped", 0) or getattr(links, "dropped", 0)
    )


def lighten(span: ReadableSpan) -> None:
    """Turn an ended span's lists of events and links into tuples, unless some dropped.

    The lists are most of what an ordinary span takes in memory while it waits. What is
    freed at once is at hand for the next span, and nothing to collect as garbage.
    """
    events, links = span._events, span._links
    if not getattr(events, "dropped", 0):
        span._events = tuple(events) if events else ()
    if not getattr(links, "dropped", 0):
        span._links = tuple(links) if links else ()


def limits_of(provider: LoggerProvider) -> tuple[int | None, int | None]:
    """Return how many attributes a record may have, and how long a value may be."""
    limits = provider._log_record_limits
    return limits.max_log_record_attributes, limits.max_log_record_attribute_length


def takes_records_unchanged(provider: LoggerProvider) -> bool:
    """Say whether going past the provider's loggers makes no difference to anybody.

    It does when logging is disabled, when loggers are switched one by one, and when
    the SDK counts what it emits.
    """
    configured = getattr(provider, "_logger_configurator", None)
    counted = os.environ.get("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "")
    return (
        not provider._disabled
        and getattr(configured, "__name__", "") == "_default_logger_configurator"
        and counted.strip().lower() != "true"
        and hasattr(provider, "_log_record_limits")
    )
