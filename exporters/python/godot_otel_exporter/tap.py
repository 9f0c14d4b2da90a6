"""Takes every record of the ``logging`` module, and leaves the console as it was.

OpenTelemetry puts its handler on the root logger. That alone silences programs that
relied on logging's defaults: the handler of last resort, Flask's and werkzeug's own
handlers and ``basicConfig`` all stand back when root has a handler. So ours stands
beside the loggers: each record first goes where the application sends it, then to
the exporter. Loggers that do not propagate are heard as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from godot_otel_exporter._compat import SdkLoggingHandler
from godot_otel_exporter.endpoint import setting
from godot_otel_exporter.handler import Handler, replace
from godot_otel_exporter.levels import LIVE, exported, listen_from_info, printed

# Records about sending records would make more of them.
_OWN = ("godot_otel", "opentelemetry", "redis")

_handler: Handler | None = None
_own: dict[str, bool] = {}  # grows with the loggers of the process, which stay as well


def move_off_root() -> None:
    """Put our handler beside all loggers in place of OpenTelemetry's on the root one.

    Root's level becomes INFO for the export if it was never set; what the application
    prints and where does not change. Does nothing without such a handler.
    """
    root = logging.getLogger()
    for found in list(root.handlers):
        if isinstance(found, (LoggingHandler, SdkLoggingHandler)):
            ours = replace(found, direct=setting("direct"))
            if ours is not None:
                root.removeHandler(found)
                listen_from_info()
                _listen(ours)


def stop() -> None:
    """Export nothing more: this process is a station of the pipeline itself."""
    global _handler
    _handler = None


def export(record: logging.LogRecord) -> None:
    """Hand *record* over without printing it; does nothing before the set-up."""
    handler = _handler
    if handler is None or record.levelno < handler.level:
        return
    try:
        own = _own.get(record.name)
        if own is None:
            own = _own[record.name] = record.name.startswith(_OWN)
    except (AttributeError, TypeError):  # a name that is no text, of a record by hand
        own = False
    if not own or is_instrumentation_enabled():
        handler.handle(record)


def _listen(handler: Handler) -> None:
    global _handler
    first, _handler = _handler is None, handler
    if not first:
        return
    call_handlers: Callable[[logging.Logger, logging.LogRecord], None] = (
        logging.Logger.callHandlers
    )

    def call_handlers_and_export(
        self: logging.Logger, record: logging.LogRecord
    ) -> None:
        try:
            # First what ``printed`` finds out most of the time: a call costs as much.
            if (self.level.__class__ is int and self.level and not LIVE) or printed(
                self, record
            ):
                call_handlers(self, record)
        finally:
            if not LIVE or exported(self, record):
                export(record)

    logging.Logger.callHandlers = call_handlers_and_export  # type: ignore[method-assign]
