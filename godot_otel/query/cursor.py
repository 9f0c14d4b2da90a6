"""Where a page ended and the next one begins: opaque to callers, bound to filters."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from godot_otel.query.filters import FilterError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the order of lines; nanos and seq of -1 are before all of a time."""

    time: datetime
    nanos: int = -1
    seq: int = -1


def encode(
    digest: str, since: datetime | None, until: datetime | None, *at: Any
) -> str:
    """Write a cursor: the question's digest, its window, and where to go on.

    The window travels along because '-1h' would mean another hour on the next page.
    """
    values = [digest, *(_number(value) for value in (since, until, *at))]
    return base64.urlsafe_b64encode(orjson.dumps(values)).rstrip(b"=").decode()


def decode(cursor: str, digest: str, size: int) -> list[Any]:
    """Read ``[since, until, *at]`` back, *at* being *size* numbers and texts.

    Raises:
        FilterError: it is no cursor of ours, or one of another question.
    """
    text = cursor.strip()
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        values = orjson.loads(raw)
    except (ValueError, binascii.Error):
        values = None
    if not isinstance(values, list) or len(values) != 3 + size:
        raise FilterError("cursor: not one that an earlier answer gave")
    if values[0] != digest:
        raise FilterError(
            "cursor: it belongs to other filters or another order; repeat those, or"
            " leave it out to start anew"
        )
    try:
        return [moment(values[1]), moment(values[2]), *values[3:]]
    except (TypeError, OverflowError):
        raise FilterError("cursor: not one that an earlier answer gave") from None


def _number(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MICROSECOND
    return value


def moment(number: int | None) -> datetime | None:
    """The time that *number* of microseconds stands for."""
    return None if number is None else _EPOCH + timedelta(microseconds=number)


def position(values: list[Any]) -> Position:
    """Make a position of a cursor's three numbers."""
    try:
        time, nanos, seq = (int(value) for value in values)
        at = moment(time)
        if abs(seq) >= 2**63 or abs(nanos) >= 2**15:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise FilterError("cursor: not one that an earlier answer gave") from None
    assert at is not None
    return Position(at, nanos, seq)
