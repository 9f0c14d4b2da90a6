"""What of protobuf's wire format encoding log calls and spans by hand needs.

Filling messages of the protobuf library takes two to three times as long
(``benchmarks/emit.py``). Field numbers are those of OTLP's ``logs.proto``,
``trace.proto`` and ``common.proto``; tests hold that the library reads the same.
"""

from __future__ import annotations

from struct import Struct

# Tags: ``ExportLogsServiceRequest.resource_logs``, ``ResourceLogs.scope_logs``,
# ``ScopeLogs.log_records``, and three fields of ``LogRecord``.
RESOURCE_LOGS, SCOPE_LOGS, RECORDS = b"\x0a", b"\x12", b"\x12"
BODY, EVENT_NAME, RECORD_ATTRIBUTES = b"\x2a", b"\x62", b"\x32"

# The same of spans, whose first three are numbered alike, and of ``Span``.
RESOURCE_SPANS, SCOPE_SPANS, SPANS = RESOURCE_LOGS, SCOPE_LOGS, RECORDS
TRACE_STATE, NAME, SPAN_ATTRIBUTES = b"\x1a", b"\x2a", b"\x4a"
DROPPED_ATTRIBUTES, DROPPED_EVENTS, DROPPED_LINKS = b"\x50", b"\x60", b"\x70"
EVENTS, LINKS = b"\x5a", b"\x6a"
EMPTY_STATUS = b"\x7a\x00"

# Of ``Span.Event`` and ``Span.Link``.
EVENT_ATTRIBUTES, DROPPED_EVENT_ATTRIBUTES = b"\x1a", b"\x20"
LINK_ATTRIBUTES, DROPPED_LINK_ATTRIBUTES = b"\x22", b"\x28"

_UINT64 = 2**64


_times = Struct("<BQBQ").pack
_double = Struct("<Bd").pack
_span_head = Struct("<BB16sBB8sBBBQBQ2sI").pack
_event_head = Struct("<BQ").pack
_link_head = Struct("<BB16sBB8sBI").pack


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


def attribute(tag: bytes, key: bytes, value: bytes) -> bytes:
    """Encode an attribute of a key and an ``AnyValue``."""
    size = len(value)
    whole = len(key) + 2 + size
    if whole < 128:  # then each length is one byte
        return b"%b%c%b\x12%c%b" % (tag, whole, key, size, value)
    return framed(tag, key + framed(b"\x12", value))


def text_attribute(tag: bytes, key: bytes, data: bytes) -> bytes:
    """Encode an attribute that is text, given as UTF-8: the most frequent kind."""
    size = len(data)
    whole = len(key) + 4 + size
    if whole < 128:
        return b"%b%c%b\x12%c\x0a%c%b" % (tag, whole, key, size + 2, size, data)
    return attribute(tag, key, text_value(data))


def span_head(
    trace_id: int, span_id: int, kind: int, start: int, end: int, flags: int
) -> bytes:
    """Encode what every span has, but for its name."""
    return _span_head(
        0x0A, 16, trace_id.to_bytes(16, "big"), 0x12, 8, span_id.to_bytes(8, "big"),
        0x30, kind, 0x39, start, 0x41, end, b"\x85\x01", flags,
    )  # fmt: skip # tags and values


def parent(span_id: int) -> bytes:
    """Encode ``Span.parent_span_id``."""
    return b"\x22\x08" + span_id.to_bytes(8, "big")


def status(code: int, message: bytes) -> bytes:
    """Encode ``Span.status``, which is there also when it says nothing."""
    return framed(b"\x7a", framed(b"\x12", message) + b"\x18%c" % code)


def event_head(time: int, name: bytes) -> bytes:
    """Encode what every event of a span has."""
    return _event_head(0x09, time) + framed(b"\x12", name)


def link_head(trace_id: int, span_id: int, flags: int) -> bytes:
    """Encode what every link of a span has."""
    return _link_head(
        0x0A, 16, trace_id.to_bytes(16, "big"), 0x12, 8, span_id.to_bytes(8, "big"),
        0x35, flags,
    )  # fmt: skip # tags and values
