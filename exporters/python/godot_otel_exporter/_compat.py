"""Every import of OpenTelemetry that may move between releases, in one place.

OpenTelemetry's logs signal is still behind underscores; when a release moves a name,
only this file changes.
"""

from __future__ import annotations

from opentelemetry._logs import get_logger_provider
from opentelemetry.instrumentation.auto_instrumentation._load import (
    _load_instrumentors as load_instrumentors,
)
from opentelemetry.sdk._configuration import _OTelSDKConfigurator as SdkConfigurator
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

__all__ = [
    "LogRecordExportResult",
    "LogRecordExporter",
    "LoggerProvider",
    "ReadableLogRecord",
    "SdkConfigurator",
    "get_logger_provider",
    "load_instrumentors",
]
