"""OTLP's AnyValue as JSON that can be turned back into the same AnyValue.

JSON has no bytes and no NaN, and does not keep 1e300 a double: those become an object
with one key that begins with ``$``. A real key that begins with ``$`` gets another.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

MAX_ATTRIBUTE_BYTES = 8 * 1024
STACKTRACE = "exception.stacktrace"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_REPLACED = REPLACEMENT.encode()


def json_value(value: AnyValue) -> Any:
    """Turn one AnyValue into what JSON can hold; unset becomes None."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind in ("int_value", "bool_value"):
        return getattr(value, kind)
    if kind == "double_value":
        return _double(value.double_value)
    if kind == "array_value":
        return [json_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return json_object(value.kvlist_value.values)
    if kind == "bytes_value":
        return {"$bytes": base64.b64encode(value.bytes_value).decode()}
    return None


def _double(number: float) -> Any:
    text = repr(number)
    # jsonb would print 1e300 as an integer of 301 digits, and refuses NaN.
    return number if text.replace(".", "").lstrip("-").isdigit() else {"$double": text}


def json_object(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Turn attributes into an object; of two with one key the last one counts."""
    return {
        ("$" + pair.key if pair.key.startswith("$") else pair.key): json_value(
            pair.value
        )
        for pair in pairs
    }


def dumps(value: Any) -> bytes:
    """Serialize for jsonb, which refuses NUL: it becomes U+FFFD."""
    data = orjson.dumps(value)
    if b"\\u0000" in data:
        data = orjson.dumps(_without_nul(value))
    return data


def loads(data: bytes) -> Any:
    """Parse JSON as other programs write it: lone surrogates become ``?``, NaN may be.

    Raises:
        json.JSONDecodeError: it is no JSON.
        UnicodeDecodeError: nor UTF-8.
        RecursionError: it is nested too deeply.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        lenient = json.dumps(json.loads(data, parse_int=_number), ensure_ascii=False)
        return json.loads(lenient.encode("utf-8", "replace"))


def _number(digits: str) -> int | float:
    """A number of any length, where Python makes an int of 4,300 digits at most."""
    return int(digits) if len(digits) < 400 else float(digits)


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {text(key): _without_nul(item) for key, item in value.items()}
    return value


def text(value: str) -> str:
    """Make a string that Postgres takes: NUL becomes U+FFFD."""
    return value.replace("\0", REPLACEMENT) if "\0" in value else value


def cut(value: str, limit: int) -> tuple[str, int]:
    """Shorten to *limit* bytes of UTF-8 at a character; say how many bytes fell."""
    if len(value) * 4 <= limit:
        return value, 0
    data = value.encode()
    if len(data) <= limit:
        return value, 0
    kept = data[:limit].decode("utf-8", "ignore")
    return kept, len(data) - len(kept.encode())


def cut_beginning(value: str, limit: int) -> tuple[str, int]:
    """Shorten like ``cut``, but keep the end."""
    data = value.encode()
    kept = data[-limit:].decode("utf-8", "ignore")
    return kept, len(data) - len(kept.encode())


def cut_value(value: Any, *, key: str = "") -> tuple[Any, int]:
    """Shorten the value of *key* above the cap; say how many bytes fell.

    A container above the cap becomes its JSON text, shortened; a stack trace keeps its
    end, where the error stands.
    """
    if isinstance(value, str) and key == STACKTRACE:
        return cut_beginning(value, MAX_ATTRIBUTE_BYTES)
    if isinstance(value, str):
        return cut(value, MAX_ATTRIBUTE_BYTES)
    if isinstance(value, list | dict):
        shown = orjson.dumps(value)
        if len(shown) > MAX_ATTRIBUTE_BYTES:
            return cut(shown.decode(), MAX_ATTRIBUTE_BYTES)
    return value, 0


def clean(data: bytes) -> bytes:
    """Make text that Postgres takes: NUL and what is no UTF-8 become U+FFFD."""
    if data.isascii():
        # 0 is looked for at once; b"\0" first fails to be a number, which costs more.
        return data.replace(b"\0", _REPLACED) if 0 in data else data
    try:
        data.decode()
    except UnicodeDecodeError:
        data = data.decode("utf-8", "replace").encode()
    return data.replace(b"\0", _REPLACED)
