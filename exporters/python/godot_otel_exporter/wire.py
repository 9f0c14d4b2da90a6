"""What of protobuf's wire format encoding log calls by hand needs.

Filling messages of the protobuf library takes two to three times as long
(``benchmarks/emit.py``). Field numbers are those of OTLP's ``logs.proto`` and
``common.proto``; tests hold that the library reads the same.
"""

from __future__ import annotations

from struct import Struct

# Tags: ``ExportLogsServiceRequest.resource_logs``, ``ResourceLogs.scope_logs``,
# ``ScopeLogs.log_records``, and two fields of ``LogRecord``.
RESOURCE_LOGS, SCOPE_LOGS, RECORDS = b"\x0a", b"\x12", b"\x12"
BODY, EVENT_NAME = b"\x2a", b"\x62"

_UINT64 = 2**64


_times = Struct("<BQBQ").pack
_double = Struct("<Bd").pack


def varint(number: int) -> bytes:
    """Encode an int64; negative ones take ten bytes, as protobuf has it."""
    if 0 <= number < 128:
        return b"%c" % number
    if 0 <= number < 16_384:
        return b"%c%c" % (number & 127 | 128, number >> 7)
    number %= _UINT64
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    data.append(number)
    return bytes(data)


def framed(tag: bytes, data: bytes) -> bytes:
    """Encode a field of bytes, text or a message."""
    size = len(data)
    if size < 128:
        return b"%b%c%b" % (tag, size, data)
    return b"%b%b%b" % (tag, varint(size), data)


def times(nanoseconds: int) -> bytes:
    """Encode when a record was made and observed: at once."""
    return _times(0x09, nanoseconds, 0x59, nanoseconds)


def ids(trace_id: int, span_id: int, flags: int) -> bytes:
    """Encode the span a record belongs to."""
    return b"\x45%b\x4a\x10%b\x52\x08%b" % (
        flags.to_bytes(4, "little"),
        trace_id.to_bytes(16, "big"),
        span_id.to_bytes(8, "big"),
    )


def text_value(data: bytes) -> bytes:
    """Encode an ``AnyValue`` that is text, given as UTF-8."""
    size = len(data)
    return b"\x0a%c%b" % (size, data) if size < 128 else framed(b"\x0a", data)


def bool_value(value: bool) -> bytes:
    """Encode an ``AnyValue`` that is true or false."""
    return b"\x10\x01" if value else b"\x10\x00"


def int_value(number: int) -> bytes:
    """Encode an ``AnyValue`` that is an int64."""
    return b"\x18" + varint(number)


def double_value(number: float) -> bytes:
    """Encode an ``AnyValue`` that is a double."""
    return _double(0x21, number)


def key(name: str) -> bytes:
    """Encode the first half of a ``KeyValue``."""
    return framed(b"\x0a", name.encode())


def attribute(key: bytes, value: bytes) -> bytes:
    """Encode one of ``LogRecord.attributes`` of a key and an ``AnyValue``."""
    size = len(value)
    whole = len(key) + 2 + size
    if whole < 128:  # then each length is one byte
        return b"\x32%c%b\x12%c%b" % (whole, key, size, value)
    return framed(b"\x32", key + framed(b"\x12", value))


def text_attribute(key: bytes, data: bytes) -> bytes:
    """Encode an attribute that is text, given as UTF-8: the most frequent kind."""
    size = len(data)
    whole = len(key) + 4 + size
    if whole < 128:
        return b"\x32%c%b\x12%c\x0a%c%b" % (whole, key, size + 2, size, data)
    return attribute(key, text_value(data))
