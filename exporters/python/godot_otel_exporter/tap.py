"""Takes every record of the ``logging`` module, and leaves the console as it was.

OpenTelemetry puts its handler on the root logger. That alone silences programs that
relied on logging's defaults: the handler of last resort, Flask's and werkzeug's own
handlers and ``basicConfig`` all stand back when root has a handler. So ours stands
beside the loggers: each record first goes where the application sends it, then to
OpenTelemetry. Loggers that do not propagate are heard as well.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from contextvars import ContextVar

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from godot_otel_exporter.values import clean

# Records about sending records would make more of them.
_OWN = ("godot_otel", "opentelemetry", "redis")


_PLAIN = {str, int, float, bool, bytes, type(None)}
_OF_LOGGING = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}

_exporting: ContextVar[bool] = ContextVar("godot_otel_exporting", default=False)
"""Set while a record is handed over: what is logged about that goes no further."""


class _ExportLevel(int):
    """Root's level while nobody chose one: INFO for export, WARNING for the console."""


_LEVEL = _ExportLevel(logging.INFO)


def move_off_root() -> None:
    """Move OpenTelemetry's handler from the root logger to beside all loggers.

    Root's level becomes INFO if it was never set; what the application prints and where
    does not change. Does nothing without such a handler.
    """
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, LoggingHandler):
            root.removeHandler(handler)
            if root.level == logging.WARNING:
                root.setLevel(_LEVEL)
            _listen(handler)


def _listen(handler: logging.Handler) -> None:
    # At exit logging flushes every handler, and this one would start a thread for it,
    # which newer Pythons refuse; the provider's own shutdown flushes.
    handler.flush = lambda: None  # type: ignore[method-assign]
    call_handlers: Callable[[logging.Logger, logging.LogRecord], None] = (
        logging.Logger.callHandlers
    )

    def call_handlers_and_export(
        self: logging.Logger, record: logging.LogRecord
    ) -> None:
        try:
            if _printed(self, record):
                call_handlers(self, record)
        finally:
            if record.levelno >= handler.level and _wanted(record):
                _export(handler, record)

    logging.Logger.callHandlers = call_handlers_and_export  # type: ignore[method-assign]


def _printed(logger: logging.Logger, record: logging.LogRecord) -> bool:
    """Whether the record would have got this far without us."""
    if record.levelno >= logging.WARNING:
        return True
    level = logging.NOTSET
    at: logging.Logger | None = logger
    while at is not None and not level:
        level, at = at.level, at.parent
    return level is not _LEVEL


def _wanted(record: logging.LogRecord) -> bool:
    if not record.name.startswith(_OWN):
        return True
    return is_instrumentation_enabled() and not _exporting.get()


def _export(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Hand *record* over; one that OpenTelemetry's handler cannot read, in plain form.

    The application has seen logging's own report of such a record already.
    """
    token = _exporting.set(True)
    try:
        handler.handle(_readable(record))
    except Exception:
        plain = logging.LogRecord(
            record.name, record.levelno, record.pathname, record.lineno,
            _message(record), None, None, record.funcName,
        )  # fmt: skip # as it is declared
        plain.created, plain.levelname = record.created, record.levelname
        with contextlib.suppress(Exception):  # the record is lost, its author lives
            handler.handle(plain)
    finally:
        _exporting.reset(token)


def _readable(record: logging.LogRecord) -> logging.LogRecord:
    """Return *record*, or a copy of it with the objects of ``extra`` as their text.

    OpenTelemetry stores null for an object that it does not know, and logs about it.
    """
    odd = {
        name: clean(value)
        for name, value in record.__dict__.items()
        if value.__class__ not in _PLAIN and name not in _OF_LOGGING
    }
    return logging.makeLogRecord(record.__dict__ | odd) if odd else record


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        try:
            return f"{record.msg} {record.args!r}"
        except Exception:
            return f"[unprintable {type(record.msg).__name__}]"
