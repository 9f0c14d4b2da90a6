"""loguru's lines, which never pass through ``logging``.

One line where the application sets loguru up::

    from godot_otel_exporter.loguru import sink

    logger.add(sink, level=0, format="{message}", backtrace=False, diagnose=False)

``logger.add(sink)`` alone takes loguru's own defaults: lines from DEBUG up, and text
that is made with care and then thrown away. Without ``enqueue``: a queue's thread knows
no trace. Where loguru's lines are handed on to ``logging`` there is nothing to add:
they are exported as what they have become.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

from godot_otel_exporter import tap
from godot_otel_exporter.diagnostics import report_once
from godot_otel_exporter.levels import exported

_OF_LOGGING = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
_HANDLE = logging.Handler.handle.__code__
# From a handler of logging's that hands on to loguru, down to the sink.
_FRAMES = 16


def sink(message: Any) -> None:
    """Export one line of loguru's; never raise.

    A line that came from ``logging`` is left out: it was exported there.
    """
    try:
        if not _from_logging(sys._getframe(1)):
            record = _record(message.record)
            if exported(logging.getLogger(record.name), record):
                tap.export(record)
    except Exception as error:
        report_once("loguru", "a line of loguru is lost: %s", type(error).__name__)


def _from_logging(frame: FrameType | None) -> bool:
    for _ in range(_FRAMES):
        if frame is None:
            return False
        if frame.f_code is _HANDLE:
            return True
        frame = frame.f_back
    return False


def _record(line: Mapping[str, Any]) -> logging.LogRecord:
    level, error = line["level"], line["exception"]
    record = logging.LogRecord(
        line["name"] or "loguru",
        level.no,
        line["file"].path,
        line["line"],
        line["message"],
        None,
        tuple(error) if error else None,
        line["function"],
    )
    record.levelname = level.name
    record.created = line["time"].timestamp()
    record.msecs = record.created % 1 * 1000
    record.process, record.processName = line["process"].id, line["process"].name
    record.thread, record.threadName = line["thread"].id, line["thread"].name
    for key, value in line["extra"].items():
        name = str(key)
        record.__dict__[f"extra.{name}" if name in _OF_LOGGING else name] = value
    return record
