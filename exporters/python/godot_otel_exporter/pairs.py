"""Attributes into OTLP by hand, for what encodes log calls and spans by hand."""

from __future__ import annotations

from typing import Any

from godot_otel.redact import Redactor
from godot_otel_exporter import wire
from godot_otel_exporter.values import SHORT, STACKTRACE, fill_pairs

_CACHE_MAX = 4096
_TRACES_MAX, _TRACE_MAX = 64, 16 * 1024  # a MB with what each is encoded to
_INT64 = 2**63


class Pairs:
    """Encodes attributes of *message*, a class of protobuf, which have this *tag*."""

    def __init__(self, message: Any, tag: bytes, redactor: Redactor) -> None:
        self._message = message
        self._tag = tag
        self._redactor = redactor
        self._keys: dict[str, bytes] = {}
        self._traces: dict[str, bytes] = {}

    def encode(self, name: str, value: Any) -> bytes:
        """Encode an attribute; the common kinds by hand, as this is run most."""
        key = self._keys.get(name)
        if key is None:
            key = self._key(name)
        kind = value.__class__
        if not key:
            is_trace = name == STACKTRACE and kind is str
            return self._trace(value) if is_trace else self._odd(name, value)
        if kind is str and len(value) <= SHORT:
            text = self._redactor.text(value)
            if len(text) <= SHORT:
                return wire.text_attribute(self._tag, key, text.encode())
        elif kind is int and -_INT64 <= value < _INT64:
            return wire.attribute(self._tag, key, wire.int_value(value))
        elif kind is float:
            return wire.attribute(self._tag, key, wire.double_value(value))
        elif kind is bool:
            return wire.attribute(self._tag, key, wire.bool_value(value))
        return self._odd(name, value)

    def _odd(self, name: str, value: Any) -> bytes:
        odd = self._message()
        fill_pairs(odd.attributes, {name: value}, self._redactor)
        return bytes(odd.SerializeToString())

    def _trace(self, trace: str) -> bytes:
        """Encode a stack trace: the same error at the same place has the same again.

        Looking for secrets in it takes longer than all the rest of an error.
        """
        found = self._traces.get(trace)
        if found is None:
            found = self._odd(STACKTRACE, trace)
            if len(trace) <= _TRACE_MAX:
                if len(self._traces) >= _TRACES_MAX:
                    self._traces.clear()  # each has another message
                self._traces[trace] = found
        return found

    def _key(self, name: str) -> bytes:
        """Encode an attribute's name; nothing when its value is not an ordinary one."""
        if len(self._keys) >= _CACHE_MAX:
            self._keys.clear()  # names made of data: keep memory bounded
        secret = self._redactor.is_secret(name)
        odd = secret or name == STACKTRACE
        key = self._keys[name] = b"" if odd else wire.key(name)
        return key
