"""OpenTelemetry's providers, set up so that log records and spans reach the queue.

One path for all: ``distro`` comes here when it is selected, ``configure`` when a
program calls it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Any

from opentelemetry.instrumentation.distro import (  # type: ignore[attr-defined] # untyped
    DefaultDistro,
)
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import get_tracer_provider

from godot_otel import __version__, instrumentors
from godot_otel_exporter import late, lifecycle, propagation, service
from godot_otel_exporter._compat import (
    BatchLogRecordProcessor,
    LoggerProvider,
    LogRecordExporter,
    LogRecordProcessor,
    SdkConfigurator,
    get_logger_provider,
    load_instrumentors,
    processors_of,
    span_processors_of,
)
from godot_otel_exporter.diagnostics import report_once
from godot_otel_exporter.environment import DEFAULTS, default

# Loads redis, now, before the application runs: on the sender's thread the import would
# hold up log calls for up to 0.1 s.
from godot_otel_exporter.exporter import GodotLogRecordExporter
from godot_otel_exporter.processor import GodotLogRecordProcessor
from godot_otel_exporter.span_exporter import GodotSpanExporter
from godot_otel_exporter.span_processor import GodotSpanProcessor
from godot_otel_exporter.tap import move_off_root

_lock = threading.RLock()  # configure() holds it around the whole set-up
_done = False


class _Configurator(SdkConfigurator):
    def _configure(self, **arguments: Any) -> None:
        if os.environ.get("OTEL_CONFIG_FILE"):
            arguments = {}  # the file says everything, and complains about arguments
        else:
            arguments["export_log_record_processor"] = _processor
            arguments["export_span_processor"] = _span_processor
            arguments["resource_attributes"] = {
                "telemetry.distro.name": "godot-otel",
                "telemetry.distro.version": __version__,
            }
        super()._configure(**arguments)  # type: ignore[no-untyped-call]


class _Instrumentors(DefaultDistro):  # type: ignore[misc] # untyped
    def load_instrumentor(self, entry_point: EntryPoint, **keywords: Any) -> None:
        if not instrumentors.premature(entry_point.name):
            super().load_instrumentor(entry_point, **keywords)
            after_instrumentor(entry_point.name)


def _processor(exporter: LogRecordExporter) -> LogRecordProcessor:
    if isinstance(exporter, GodotLogRecordExporter):
        return GodotLogRecordProcessor(exporter)
    return BatchLogRecordProcessor(exporter)


def _span_processor(exporter: SpanExporter) -> SpanProcessor:
    if isinstance(exporter, GodotSpanExporter):
        return GodotSpanProcessor(exporter)
    return BatchSpanProcessor(exporter)


def after_instrumentor(name: str) -> None:
    """Mend what the instrumentor called *name* has just done to the application."""
    if name == "logging":
        move_off_root()
    propagation.after_instrumentor(name)


def set_up(**arguments: Any) -> None:
    """Set the defaults and create the providers, unless that was done before.

    *arguments* are those of OpenTelemetry's own configurator.
    """
    global _done
    with _lock:
        if _done:
            return
        default(DEFAULTS)
        if service.named() is None:
            # In the environment, because worker processes inherit it.
            os.environ[service.NAME] = service.name_of(sys.orig_argv)
        disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        if not disabled:
            lifecycle.guard_ends()  # before the providers: what is first here is last
        _Configurator().configure(**arguments)  # type: ignore[no-untyped-call]
        _done = True
        if not disabled:
            propagation.install()
            late.install(get_tracer_provider())
            _start(get_logger_provider(), get_tracer_provider())


def _start(loggers: object, tracers: object) -> None:
    """Follow levels and replay the spool also in a process that logs nothing."""
    if isinstance(loggers, LoggerProvider):
        for processor in processors_of(loggers):
            if isinstance(processor, GodotLogRecordProcessor):
                processor.start(loggers)
    if isinstance(tracers, TracerProvider):
        for processor in span_processors_of(tracers):
            if isinstance(processor, GodotSpanProcessor):
                processor.start(tracers)


def configure(
    *,
    service_name: str | None = None,
    endpoint: str | None = None,
    timeout: float | None = None,
    compression: str | None = None,
    redact_keys: Sequence[str] = (),
) -> None:
    """Export this program's log records and spans, as ``godot-otel run`` does.

    Call it early, before the libraries to instrument are imported. Calling it again, or
    under ``godot-otel run``, changes nothing. Where another part of the program has set
    OpenTelemetry up, it stays as it is: add our exporters there.

    Args:
        service_name: default: the environment, then the program's or module's name.
        endpoint: see ``QueueExporter``, as the following.
        timeout: in seconds.
        compression: ``none`` or ``gzip``.
        redact_keys: more names whose values become ``[REDACTED]``.
    """
    arguments = {
        "endpoint": endpoint,
        "timeout": timeout,
        "compression": compression,
        "redact_keys": redact_keys,
    }
    with _lock:
        if not _done:
            _configure(service_name, arguments)


def _configure(service_name: str | None, arguments: dict[str, Any]) -> None:
    if isinstance(get_logger_provider(), LoggerProvider):
        report_once(
            "foreign",
            "OpenTelemetry is set up already and stays as it is:"
            " add a GodotLogRecordExporter to its LoggerProvider, and a"
            " GodotSpanExporter to its TracerProvider",
        )
        return
    if service_name:
        os.environ[service.NAME] = service_name
    exporters = GodotLogRecordExporter, GodotSpanExporter
    set_up(exporter_args_map=dict.fromkeys(exporters, arguments))
    load_instrumentors(_Instrumentors())  # type: ignore[no-untyped-call]
