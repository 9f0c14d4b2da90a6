"""Python values into OTLP's ``AnyValue``, in place, within the contract's caps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from godot_otel.redact import REDACTED, Redactor

ATTRIBUTE_MAX_BYTES = 8 * 1024
BODY_MAX_BYTES = 64 * 1024
SHORT = ATTRIBUTE_MAX_BYTES // 4
"""Characters that exceed no cap, whatever they are."""
# A parser of protobuf may refuse more than 100 nested messages; a level is up to three.
MAX_DEPTH = 20
TOO_DEEP = "[too deep]"
STACKTRACE = "exception.stacktrace"

_INT64 = 2**63
_MARGIN = 24 * 1024  # how many characters beyond a cap are searched for secrets
_LAST_WORD = re.compile(r"(?<!\S)\S++\Z")


def fill_pairs(target: Any, attributes: Mapping[Any, Any], redactor: Redactor) -> None:
    """Add *attributes* to *target*, a repeated ``KeyValue``.

    Raises:
        Exception: a key or value has no representation; ``clean`` gives it one.
    """
    add, is_secret = target.add, redactor.is_secret
    for name, value in attributes.items():
        pair = add()
        kind = value.__class__
        # the common cases without a call: an attribute's cost is a record's cost
        if name.__class__ is not str or is_secret(name):
            _fill_pair(pair, name, value, redactor, 0)
        elif kind is str and len(value) <= SHORT:
            pair.key = name
            text = redactor.text(value)
            pair.value.string_value = (
                text if text is value else cut(text, ATTRIBUTE_MAX_BYTES)[0]
            )
        elif kind is int and -_INT64 <= value < _INT64:
            pair.key = name
            pair.value.int_value = value
        elif kind is float:
            pair.key = name
            pair.value.double_value = value
        elif kind is bool:
            pair.key = name
            pair.value.bool_value = value
        elif kind is str and name == STACKTRACE:
            pair.key = name
            pair.value.string_value = _redacted_end(value, redactor)
        else:
            _fill_pair(pair, name, value, redactor, 0)
            _trim(pair.value, ATTRIBUTE_MAX_BYTES)


def fill_body(target: AnyValue, body: Any, redactor: Redactor) -> int:
    """Set the body and return how many bytes the cap cut away; raises as above."""
    lost = _fill(target, body, BODY_MAX_BYTES, redactor, 0)
    return lost or _trim(target, BODY_MAX_BYTES)


def clean(value: Any, depth: int = 0) -> Any:
    """Return *value* in a form that can be encoded; never raises."""
    try:
        if isinstance(value, str):
            return value.encode("utf-8", "replace").decode()
        if value is None or isinstance(value, (bool, float, bytes)):
            return value
        if isinstance(value, int):
            # str() refuses very long numbers, hex() does not
            return value if -_INT64 <= value < _INT64 else clean(_digits(value))
        if depth > MAX_DEPTH:
            return TOO_DEEP
        if isinstance(value, Mapping):
            return {
                str(clean(name if isinstance(name, str) else str(name))): clean(
                    item, depth + 1
                )
                for name, item in value.items()
            }
        if isinstance(value, (Sequence, Set)) and not isinstance(value, bytearray):
            return [clean(item, depth + 1) for item in value]
        return str(value).encode("utf-8", "replace").decode()
    except Exception:
        return f"[unprintable {type(value).__name__}]"


def within(number: Any, limit: int) -> int:
    """Return *number*, or 0 when it is none below *limit*."""
    return number if isinstance(number, int) and 0 <= number < limit else 0


def short_text(text: str, redactor: Redactor) -> str:
    """Return *text* without secrets, as long as an attribute may be; raises as above.

    For what is text by its nature: names, a status message.
    """
    if len(text) > SHORT:
        return _redacted(text, ATTRIBUTE_MAX_BYTES, redactor)[0]
    found = redactor.text(text)
    return found if found is text else cut(found, ATTRIBUTE_MAX_BYTES)[0]


def cut(text: str, limit: int) -> tuple[str, int]:
    """Return the first *limit* UTF-8 bytes of whole characters, and the bytes lost."""
    if len(text) * 4 <= limit:
        return text, 0
    data = text.encode()
    if len(data) <= limit:
        return text, 0
    kept = data[:limit].decode("utf-8", "ignore")
    return kept, len(data) - len(kept.encode())


def _redacted(text: str, limit: int, redactor: Redactor) -> tuple[str, int]:
    """Return the first *limit* bytes of *text* without secrets, and the bytes lost.

    A secret is told by what stands around it, so more than that is searched.
    """
    if len(text) <= limit + _MARGIN:
        return cut(redactor.text(text), limit)
    window = text[: limit + _MARGIN]
    beyond = len(text.encode()) - len(window.encode())
    clean = redactor.text(window)
    kept, lost = cut(clean, limit)
    if (
        not lost
    ):  # so much was redacted that the window's end shows, half a secret maybe
        kept = _LAST_WORD.sub("", kept)
        lost = len(clean.encode()) - len(kept.encode())
    return kept, lost + beyond


def _redacted_end(text: str, redactor: Redactor) -> str:
    """Return the end of *text*, where the error stands, without secrets."""
    window = ATTRIBUTE_MAX_BYTES + _MARGIN
    clean = redactor.text(text[-window:])
    data = clean.encode()
    if len(text) > window and len(data) <= ATTRIBUTE_MAX_BYTES:
        # as above: a name may stand before the window, its value in it
        return clean.partition("\n")[2]
    return data[-ATTRIBUTE_MAX_BYTES:].decode("utf-8", "ignore")


def _digits(number: int) -> str:
    try:
        return str(number)
    except ValueError:
        return hex(number)


def _fill(
    target: AnyValue, value: Any, limit: int, redactor: Redactor, depth: int
) -> int:
    """Set one value; return how many bytes of it were cut away."""
    if isinstance(value, str):
        target.string_value, lost = _redacted(value, limit, redactor)
        return lost
    if value is None:
        target.SetInParent()
    elif isinstance(value, bool):  # before int: every bool is one
        target.bool_value = value
    elif isinstance(value, int):
        if -_INT64 <= value < _INT64:
            target.int_value = value
        else:
            target.string_value = cut(_digits(value), limit)[0]
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        target.bytes_value = data[:limit]
        return max(0, len(data) - limit)
    elif depth >= MAX_DEPTH:
        target.string_value = TOO_DEEP
    elif isinstance(value, Mapping):
        target.kvlist_value.SetInParent()
        for name, item in value.items():
            pair = target.kvlist_value.values.add()
            _fill_pair(pair, name, item, redactor, depth + 1)
    elif isinstance(value, (Sequence, Set)):
        _fill_array(target, value, redactor, depth)
    else:
        target.string_value, lost = _redacted(str(value), limit, redactor)
        return lost
    return 0


def _fill_pair(
    pair: KeyValue, name: Any, value: Any, redactor: Redactor, depth: int
) -> None:
    text = name if isinstance(name, str) else str(name)
    pair.key = text
    if redactor.is_secret(text):
        pair.value.string_value = REDACTED
    else:
        _fill(pair.value, value, ATTRIBUTE_MAX_BYTES, redactor, depth)


def _fill_array(target: AnyValue, items: Any, redactor: Redactor, depth: int) -> None:
    target.array_value.SetInParent()
    values = target.array_value.values
    if depth and len(items) == 2 and _names_secret(items, redactor):
        items = (items[0], REDACTED)  # a header among headers: ("cookie", "...")
    option = False
    for item in items:
        if option:  # of a command line: ("--password", "...")
            item = REDACTED
        _fill(values.add(), item, ATTRIBUTE_MAX_BYTES, redactor, depth + 1)
        option = type(item) is str and item[:2] == "--" and redactor.is_secret(item)


def _names_secret(pair: Any, redactor: Redactor) -> bool:
    if not isinstance(pair, (list, tuple)):
        return False
    name = pair[0].decode("latin-1") if isinstance(pair[0], bytes) else pair[0]
    return isinstance(name, str) and redactor.is_secret(name)


def _trim(target: Any, limit: int) -> int:
    """Shorten a list or mapping until it fits; return how many bytes went."""
    size: int = target.ByteSize()
    if size <= limit:
        return 0
    values = target.array_value.values
    if target.HasField("kvlist_value"):
        values = target.kvlist_value.values
    elif not target.HasField("array_value"):
        return 0  # text at the limit, and the bytes that say how long it is
    while len(values) and target.ByteSize() > limit:
        del values[len(values) // 2 :]
    return size - int(target.ByteSize())
