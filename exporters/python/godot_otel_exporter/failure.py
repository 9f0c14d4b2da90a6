"""Exceptions: taken down where they are logged, written out where they are encoded.

What is taken down holds no frame and no exception, so nothing of the application lives
longer for it. Writing it out looks for source lines and marks columns, which takes far
longer than a log call may; frames repeat, so each is written out once.
"""

from __future__ import annotations

import itertools
import linecache
import traceback
from types import CodeType, TracebackType
from typing import Any, NamedTuple

_FRAMES_MAX = 4096

_Place = tuple[CodeType, int, int]
"""Code, instruction and line of one frame."""


class Failure(NamedTuple):
    """An exception, as it was when it was logged."""

    type: str
    message: str
    exception: traceback.TracebackException
    places: list[_Place] | None
    """Its frames; None when *exception* has them, and those of its causes."""


def capture(exc_info: Any) -> Failure | None:
    """Take an exception down; never raises."""
    try:
        kind, value, trace = exc_info
        if kind is None:
            return None
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        chained = (
            value.__cause__ is not None
            or value.__context__ is not None
            or isinstance(value, BaseExceptionGroup)
        )
        exception = traceback.TracebackException(
            kind, value, trace if chained else None, lookup_lines=False, compact=True
        )
        return Failure(
            name, _text(value), exception, None if chained else _places(trace)
        )
    except Exception:  # exc_info is anything that an application passes
        return None


def stacktrace(failure: Failure) -> str:
    """Write a failure out as Python would have printed it."""
    try:
        if failure.places is not None:
            failure.exception.stack = _Stack(map(_frame, failure.places))
        return "".join(failure.exception.format())
    except Exception:  # a source file that is no text any more
        return f"{failure.type}: {failure.message}"


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"[unprintable {type(value).__name__}]"


def _places(trace: TracebackType | None) -> list[_Place]:
    places = []
    while trace is not None:
        frame = trace.tb_frame
        code = frame.f_code
        if code.co_filename not in linecache.cache:
            # Modules from archives know their source; their globals are at hand now.
            linecache.lazycache(code.co_filename, frame.f_globals)
        places.append((code, trace.tb_lasti, trace.tb_lineno))
        trace = trace.tb_next
    return places


class _Frame(traceback.FrameSummary):
    __slots__ = ("code", "text")

    code: CodeType
    """Kept, so that no other code gets its id."""
    text: str | None


class _Stack(traceback.StackSummary):
    def format_frame_summary(self, frame_summary: Any, **keywords: Any) -> str:
        text: str | None = frame_summary.text
        if text is None:
            text = super().format_frame_summary(frame_summary, **keywords)
            frame_summary.text = text
        return text


_frames: dict[tuple[int, int], _Frame] = {}


def _frame(place: _Place) -> _Frame:
    code, instruction, line = place
    key = id(code), instruction
    frame = _frames.get(key)
    if frame is None:
        if len(_frames) >= _FRAMES_MAX:
            _frames.clear()
        frame = _frames[key] = _new_frame(code, instruction, line)
    return frame


def _new_frame(code: CodeType, instruction: int, line: int) -> _Frame:
    positions = itertools.islice(code.co_positions(), max(0, instruction) // 2, None)
    first, last, column, end = next(positions, (None, None, None, None))
    frame = _Frame(
        code.co_filename, line if first is None else first, code.co_name,
        lookup_line=False, end_lineno=last, colno=column, end_colno=end,
    )  # fmt: skip # where, and what of it
    frame.code, frame.text = code, None
    return frame
