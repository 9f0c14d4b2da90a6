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
from godot_otel_collector.values import cut_value, dumps, json_value

TRUNCATED = "log.truncated_bytes"
_SPECIAL = GIVEN | words.EXCEPTION | {TRUNCATED, PATH, LINE}
_CACHED_BYTES = 512  # longer ones hardly repeat
_CACHED = 100_000


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

    def parse(self, raw: bytes) -> Attribute:
        """Parse one that is not in ``known`` yet.

        Raises:
            DecodeError: it is no KeyValue.
        """
        found = _attribute(KeyValue.FromString(raw))
        if len(raw) <= _CACHED_BYTES:
            if len(self.known) >= _CACHED:
                self.known.clear()
            self.known[raw] = found
        return found


def _attribute(pair: KeyValue) -> Attribute:
    value, fell = cut_value(json_value(pair.value))
    key = "$" + pair.key if pair.key.startswith("$") else pair.key
    word = words.attribute_word(key, value) or ""
    special = (pair.key, value, fell) if fell or pair.key in _SPECIAL else None
    return Attribute(member(key, value), word.encode(), special)


def member(key: str, value: Any) -> bytes:
    """Serialize one member of a JSON object."""
    if isinstance(value, int) and not isinstance(value, bool):
        return orjson.dumps(key) + b":%d" % value  # beyond 64 bits too
    return dumps({key: value})[1:-1]
