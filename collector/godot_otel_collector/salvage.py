"""Reads what can be read of a request that protobuf refuses as a whole.

One record with, say, a string that is no UTF-8 makes the parser refuse all of them.
The wire format (protobuf.dev, "Encoding") lets each record be cut out and parsed alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from godot_otel_collector.batch import DeadLetter

_RECORDS = 2  # ResourceLogs.scope_logs and ScopeLogs.log_records have this number


def records(
    payload: bytes,
) -> Iterator[tuple[ResourceLogs, ScopeLogs, LogRecord | DeadLetter]]:
    """Yield each record that can be parsed, and a dead letter for each that cannot.

    Bytes that are no protobuf at all yield one dead letter, of ordinal -1.
    """
    try:
        groups = list(_parts(payload))
        scopes = [
            (head, *_split(scope))
            for _, group in groups
            for head, scopes in [_split(group)]
            for scope in scopes
        ]
    except (IndexError, ValueError):
        nothing = DeadLetter(-1, "no OTLP request", payload)
        yield ResourceLogs(), ScopeLogs(), nothing
        return
    ordinal = 0
    for group_head, scope_head, raws in scopes:
        for raw in raws:
            yield _record(group_head, scope_head, raw, ordinal)
            ordinal += 1


def _record(
    group_head: bytes, scope_head: bytes, raw: bytes, ordinal: int
) -> tuple[ResourceLogs, ScopeLogs, LogRecord | DeadLetter]:
    try:
        group = ResourceLogs.FromString(group_head)
        scope = ScopeLogs.FromString(scope_head)
        return group, scope, LogRecord.FromString(raw)
    except Exception as error:  # protobuf's DecodeError has no stable home
        reason = f"unparsable: {type(error).__name__}"
        return ResourceLogs(), ScopeLogs(), DeadLetter(ordinal, reason, raw)


def request(group: ResourceLogs, scope: ScopeLogs, record: LogRecord) -> bytes:
    """Make a request that holds this one record, with its resource and scope."""
    message = ExportLogsServiceRequest()
    one = message.resource_logs.add(schema_url=group.schema_url)
    one.resource.CopyFrom(group.resource)
    inner = one.scope_logs.add(schema_url=scope.schema_url)
    inner.scope.CopyFrom(scope.scope)
    inner.log_records.add().CopyFrom(record)
    return bytes(message.SerializeToString())


def one(payload: bytes, ordinal: int) -> bytes:
    """Cut the record *ordinal* out of a request, as a request of its own.

    The whole request where it cannot be parsed.
    """
    try:
        message = ExportLogsServiceRequest.FromString(payload)
    except Exception:  # protobuf's DecodeError has no stable home
        return payload
    found = (
        request(group, scope, record)
        for group in message.resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    )
    return next(itertools.islice(found, ordinal, None), payload)


def _split(message: bytes) -> tuple[bytes, list[bytes]]:
    """Separate a message into its other fields and its repeated inner messages."""
    head, inner = b"", []
    for number, data in _parts(message):
        if number == _RECORDS:
            inner.append(data)
        else:
            head += bytes([number << 3 | 2]) + _varint(len(data)) + data
    return head, inner


def _parts(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each length-delimited field of a message."""
    position = 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type != 2 or not 1 <= number <= 15:
            raise ValueError
        length, position = _read_varint(message, position)
        if position + length > len(message):
            raise ValueError
        yield number, message[position : position + length]
        position += length


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
