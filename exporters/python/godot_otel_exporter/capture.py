"""What is kept of a log call: all that may change before it is sent, and no more.

In: a ``logging.LogRecord``, in the thread that logged it. Out: a tuple, which holds no
frame, no exception and no argument of the application alive. Formatting a traceback and
everything else that can wait is done where the tuple is encoded.
"""

from __future__ import annotations

import logging
import time
from itertools import islice
from typing import Any, NamedTuple

from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

from godot_otel_exporter import failure, late
from godot_otel_exporter._compat import SPAN_KEY, current_context
from godot_otel_exporter.failure import Failure
from godot_otel_exporter.record import REDUNDANT
from godot_otel_exporter.values import clean

TEMPLATE = "log.record.template"

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"taskName"}
_COUNT = len(logging.makeLogRecord({}).__dict__)
_NOT_EXTRA = _STANDARD | {"", "message", "asctime", *REDUNDANT}
_INT64 = 2**63
_NO_SPAN = INVALID_SPAN_CONTEXT
_SMALL = {int, float, bool, type(None)}
_NAME_WEIGHT, _VALUE_WEIGHT = 64, 8
EVENT_NAMES = ("otel.event.name", "event.name")


class Captured(NamedTuple):
    """One log call; the first seven name its call site, and repeat."""

    level: int
    level_name: str
    template: str | None
    path: str
    line: int
    function: str | None
    thread_name: str | None
    thread: int | None
    logger: str
    created: float
    message: str
    span: SpanContext
    extra: dict[str, Any] | None
    exception: Failure | None
    stack: str | None
    weight: int
    """About how many characters it holds."""


SITE = 8
"""How many of the first fields are the same for every call of one line and thread."""


def capture(
    record: logging.LogRecord,
    _new: Any = tuple.__new__,
    _context: Any = current_context,
) -> Captured:
    """Return what to keep of *record*; never raises.

    Runs in the caller's thread: each line here is paid by every log call.
    """
    fields = record.__dict__
    args, exc_info = fields["args"], fields["exc_info"]
    span = _context().get(SPAN_KEY)
    context = _NO_SPAN if span is None else span.get_span_context()
    if context is _NO_SPAN or not context.is_valid:
        context = _NO_SPAN
        if exc_info or fields["name"] in late.LOGGERS:
            context = late.span_context_of(record) or _NO_SPAN
    try:
        message = fields["msg"]
        if message.__class__ is not str or record.__class__ is not logging.LogRecord:
            message = record.getMessage()
        elif args:  # as getMessage() has it
            message = message % args
    except Exception:
        message = _unformatted(record)
    extra, weight = None, len(message)
    if len(fields) != _COUNT:
        extra, weight = _extra(record, weight)
    return _new(  # type: ignore[no-any-return] # as Captured(...), at half the price
        Captured,
        (
            fields["levelno"], fields["levelname"],
            _template(fields["msg"]) if args else None,
            fields["pathname"], fields["lineno"], fields["funcName"],
            fields["threadName"], fields["thread"], fields["name"], fields["created"],
            message, context,
            extra, failure.capture(exc_info) if exc_info else None,
            fields["stack_info"], weight,
        ),
    )  # fmt: skip # in the order of Captured


def _template(message: Any) -> str:
    return message if message.__class__ is str else _text(message)


def _unformatted(record: logging.LogRecord) -> str:
    """The application has seen logging's own report of such a record already."""
    try:
        return f"{record.msg} {record.args!r}"
    except Exception:
        return f"[unprintable {type(record.msg).__name__}]"


def _extra(record: logging.LogRecord, weight: int) -> tuple[dict[str, Any] | None, int]:
    """Return what the application added, and *weight* with it.

    Objects become their text, containers are copied.
    """
    fields = record.__dict__
    if len(fields) == _COUNT + 1 and "message" in fields:  # a console formatted it
        return None, weight
    extra: dict[str, Any] = {}
    # What was added stands behind what every record has; a subclass may differ.
    plain = record.__class__ is logging.LogRecord
    for name, value in islice(fields.items(), _COUNT if plain else 0, None):
        if name in _NOT_EXTRA:
            continue
        if name.__class__ is not str:
            name = str(clean(name))
        kind = value.__class__
        if kind is str:
            weight += len(value)
        elif kind not in _SMALL:
            value = clean(value)
            weight += characters(value)
        extra[name] = value
    return extra or None, weight + len(extra) * _NAME_WEIGHT


def characters(value: Any) -> int:
    """Return about how many characters a value of an attribute holds."""
    kind = value.__class__
    if kind is str or kind is bytes:
        return len(value)
    if kind is dict:
        return sum(map(characters, value.values())) + len(value) * _NAME_WEIGHT
    return sum(map(characters, value)) if kind in (list, tuple) else _VALUE_WEIGHT


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"[unprintable {type(value).__name__}]"


def attributes(captured: Captured) -> dict[str, Any]:
    """Return every attribute of a record; the application's own win."""
    return site_attributes(captured) | own_attributes(captured)


def own_attributes(captured: Captured) -> dict[str, Any]:
    """Return the attributes that this call alone has."""
    found = dict(captured.extra or ())
    for name in EVENT_NAMES:
        found.pop(name, None)
    if exception := captured.exception:
        found["exception.type"] = exception.type
        found["exception.message"] = exception.message
        found["exception.stacktrace"] = failure.stacktrace(exception)
    if captured.stack:
        found["code.stacktrace"] = captured.stack
    return found


def site_attributes(captured: Captured) -> dict[str, Any]:
    """Return the attributes that every call of one line and thread has."""
    found: dict[str, Any] = {
        "code.file.path": captured.path, "code.line.number": captured.line,
        "code.function.name": captured.function, "thread.id": captured.thread,
        "thread.name": captured.thread_name, TEMPLATE: captured.template,
    }  # fmt: skip # a name beside its value
    return {name: value for name, value in found.items() if value is not None}


def event_name(captured: Captured) -> str | None:
    """Return the event's name, which ``extra`` may hold under two keys."""
    extra = captured.extra
    if extra:
        for name in EVENT_NAMES:
            if extra.get(name) is not None:
                return str(extra[name])
    return None


def moment(captured: Captured) -> int:
    """Return when the call was made, in Unix nanoseconds; now, if that is no time."""
    try:
        nanoseconds = int(captured.created * 1e9)
    except Exception:  # a record made by hand
        nanoseconds = -1
    return nanoseconds if 0 <= nanoseconds < _INT64 else time.time_ns()


_NAMES = {"WARNING": "WARN", "CRITICAL": "FATAL", "Level 5": "TRACE"}


def severity(captured: Captured) -> tuple[int, str]:
    """Return OpenTelemetry's severity number and text of a level.

    Below DEBUG is TRACE, which OpenTelemetry's own mapping leaves unspecified.
    """
    level, name = int(captured.level), captured.level_name
    name = _NAMES.get(name, name)
    if level < 10:
        return (max(1, min(4, level - 4)) if level > 0 else 0), name
    return min(24, level // 10 * 4 + 1 + min(3, level % 10)), name
