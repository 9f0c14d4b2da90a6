"""structlog's events, where structlog prints them itself.

The processor stands before the last one, which renders::

    from godot_otel_exporter.structlog import processor

    structlog.configure(processors=[..., processor, structlog.dev.ConsoleRenderer()])

It changes nothing. With ``structlog.stdlib.LoggerFactory`` nothing is needed: events
pass through ``logging`` and are exported there, and this processor leaves them to it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from types import FrameType, TracebackType
from typing import Any, TypeAlias

from godot_otel_exporter import tap
from godot_otel_exporter.diagnostics import report_once
from godot_otel_exporter.levels import exported

_ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

_OF_LOGGING = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
_LEVELS = {
    "notset": logging.NOTSET, "debug": logging.DEBUG, "info": logging.INFO,
    "msg": logging.INFO, "warn": logging.WARNING, "warning": logging.WARNING,
    "err": logging.ERROR, "error": logging.ERROR, "exception": logging.ERROR,
    "failure": logging.ERROR, "critical": logging.CRITICAL, "fatal": logging.CRITICAL,
}  # fmt: skip # a table
# What the record says in its own way, or nowhere.
_TOLD = {"event", "exc_info", "level", "logger", "stack", "stack_info", "timestamp"}


def processor(
    logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Export the event and return it as it is; never raise."""
    try:
        # None: a record of logging's, in structlog.stdlib.ProcessorFormatter.
        if logger is not None and not isinstance(logger, logging.Logger):
            record = _record(method_name, event_dict, sys._getframe(1))
            if exported(logging.getLogger(record.name), record):
                tap.export(record)
    except Exception as error:
        report_once("structlog", "an event is lost: %s", type(error).__name__)
    return event_dict


def _record(
    method: str, event: Mapping[str, Any], frame: FrameType
) -> logging.LogRecord:
    caller = _caller(frame)
    record = logging.LogRecord(
        str(event.get("logger") or (caller and _module(caller)) or "structlog"),
        _LEVELS.get(method, logging.INFO),
        caller.f_code.co_filename if caller else "",
        caller.f_lineno if caller else 0,
        event.get("event", ""),
        None,
        _exc_info(event.get("exc_info")),
        caller.f_code.co_name if caller else None,
        event.get("stack"),
    )
    for key, value in event.items():
        if key == "exception" and isinstance(value, str):
            key = "exception.stacktrace"  # a processor before this one has made it
        if key not in _TOLD:
            record.__dict__[f"extra.{key}" if key in _OF_LOGGING else key] = value
    return record


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__") or "?")


def _caller(frame: FrameType | None) -> FrameType | None:
    # The asynchronous methods leave the caller's frame here, and work in a thread.
    kept = getattr(
        sys.modules.get("structlog.contextvars"), "_ASYNC_CALLING_STACK", None
    )
    frame = frame if kept is None else kept.get(frame)
    while frame is not None and f"{_module(frame)}.".startswith("structlog."):
        frame = frame.f_back
    return frame


def _exc_info(value: Any) -> _ExcInfo | None:
    if isinstance(value, BaseException):
        return type(value), value, value.__traceback__
    if isinstance(value, tuple):
        return value if len(value) == 3 and value[1] is not None else None
    if value:
        kind, error, traceback = sys.exc_info()
        if kind is not None and error is not None:
            return kind, error, traceback
    return None
