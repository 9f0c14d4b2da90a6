"""Attributes as they are stored, found by their bytes when they were seen before.

Most attributes of a service's records repeat: the same route, the same region. One that
is known costs a look-up; only a new one is parsed and serialized.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from godot_otel import words
from godot_otel_collector.templates import GIVEN, LINE, PATH
from godot_otel_collector.values import cut_value, dumps, json_value, text

TRUNCATED = "log.truncated_bytes"
SPAN_TRUNCATED = "span.truncated_bytes"
_SPECIAL = GIVEN | words.EXCEPTION | {TRUNCATED, SPAN_TRUNCATED, PATH, LINE}
_CACHED_BYTES = 512  # longer ones hardly repeat
_CACHED = 80_000  # about 25 MB
# Tags of an AnyValue's fields.
_TEXT, _BOOL, _INT = 0x0A, 0x10, 0x18
_BOOLS = {b"\0": b"false", b"\1": b"true"}


class Attribute(NamedTuple):
    """One attribute, ready to be stored."""

    json: bytes
    """A member of a JSON object: ``"key":value``."""
    pair: bytes
    """What a filter holds of it; empty for nothing."""
    special: tuple[str, Any, int] | None
    """Key, value and how many bytes of it were cut off, where decoding must know."""


class Attributes:
    """Turns KeyValue messages into attributes; bounded in memory."""

    def __init__(self) -> None:
        self.known: dict[bytes, Attribute] = {}
        self._names: dict[bytes, tuple[bytes, bytes] | None] = {}

    def parse(self, raw: bytes) -> Attribute:
        """Parse one that is not in ``known`` yet.

        Raises:
            DecodeError: it is no KeyValue.
        """
        found = self._short(raw) or _attribute(KeyValue.FromString(raw))
        if len(raw) <= _CACHED_BYTES:
            if len(self.known) >= _CACHED:
                self.known.clear()
            self.known[raw] = found
        return found

    def _short(self, raw: bytes) -> Attribute | None:
        """Parse by hand what most attributes are: a short text, an int or a bool.

        A new value comes with most records, an order's number for example, and the
        library takes three times as long. None for everything else.
        """
        size = len(raw)
        if size < 7 or raw[0] != 0x0A or raw[1] > 0x7F:
            return None
        value = raw[1] + 4  # behind the key, and the tag and length of the value
        rest = size - value
        if not (
            2 <= rest <= 0x7F and raw[value - 1] == rest and raw[value - 2] == 0x12
        ):
            return None
        key = raw[2 : value - 2]
        names = self._names[key] if key in self._names else self._name(key)
        if names is None:
            return None
        kind = raw[value]
        if kind == _TEXT and raw[value + 1] == rest - 2:
            text = raw[value + 2 :]
            if 0 in text:
                return None
            try:
                shown = orjson.dumps(text.decode())
            except UnicodeDecodeError:
                return None
        elif kind == _INT and (number := _varint(raw[value + 1 :])) is not None:
            text = shown = b"%d" % number
        elif kind == _BOOL and (shown := _BOOLS.get(raw[value + 1 :], b"")):
            text = shown
        else:
            return None
        return Attribute(names[0] + shown, names[1] + text, None)

    def _name(self, key: bytes) -> tuple[bytes, bytes] | None:
        """How a key begins a member and a pair; None where more is to be done."""
        if len(self._names) >= _CACHED:
            self._names.clear()
        names = None
        if key.isascii() and b"\0" not in key and key[:1] != b"$":
            name = key.decode()
            if name not in _SPECIAL:
                names = orjson.dumps(name) + b":", key + b"="
        self._names[key] = names
        return names


def _varint(data: bytes) -> int | None:
    """Decode one that is all of *data*; negative ones, of ten bytes, are not for it."""
    if len(data) > 9 or data[-1] > 0x7F:
        return None
    number = data[-1]
    for byte in data[-2::-1]:
        if byte < 0x80:
            return None
        number = number << 7 | byte & 0x7F
    return number


def _attribute(pair: KeyValue) -> Attribute:
    value, fell = cut_value(json_value(pair.value), key=pair.key)
    key = "$" + pair.key if pair.key.startswith("$") else pair.key
    word = words.attribute_word(key, value) or ""
    special = (pair.key, value, fell) if fell or pair.key in _SPECIAL else None
    return Attribute(member(key, value), text(word).encode(), special)


def member(key: str, value: Any) -> bytes:
    """Serialize one member of a JSON object."""
    if isinstance(value, int) and not isinstance(value, bool):
        return orjson.dumps(text(key)) + b":%d" % value  # beyond 64 bits too
    return dumps({key: value})[1:-1]
