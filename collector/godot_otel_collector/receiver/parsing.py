"""Bodies into OTLP requests; a bad record costs itself, not its neighbours.

JSON is OTLP's own: ids are hex where protobuf's JSON has base64, unknown fields are
ignored, and lone surrogates, which JavaScript's strings may hold, become ``?``.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from starlette.exceptions import HTTPException

from godot_otel_collector.receiver.answers import Encoding
from godot_otel_collector.values import loads
from godot_otel_collector.wire import declare

MAX_RECORDS = 100_000
"""Empty records are 2 bytes in a body, and a hundred in memory."""

_BYTES = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
# A request whose records are left unparsed.
_Shallow: Any = declare(
    "godot_otel.shallow",
    {
        "Request": [(1, "resource_logs*", "Group")],
        "Group": [(1, "resource", _BYTES), (2, "scope_logs*", "Scope"),
                  (3, "schema_url", _BYTES)],
        "Scope": [(1, "scope", _BYTES), (2, "log_records*", _BYTES),
                  (3, "schema_url", _BYTES)],
    },
)  # fmt: skip # a message's fields together
_Object = dict[str, Any]
# What parsers raise: json_format passes on much of what it meets inside.
_MALFORMED = (
    DecodeError, ParseError, ValueError, TypeError, AttributeError, LookupError,
    ArithmeticError, RecursionError,
)  # fmt: skip # one list


@dataclass(slots=True)
class Parsed:
    """A request, and how many of its records are not in it."""

    request: ExportLogsServiceRequest = field(default_factory=ExportLogsServiceRequest)
    records: int = 0
    rejected: int = 0


def parse(data: bytes, encoding: Encoding) -> Parsed:
    """Parse a body.

    Raises:
        HTTPException: 400 no ExportLogsServiceRequest, 413 too many records.
    """
    try:
        if encoding is Encoding.JSON:
            return _from_json(loads(data))
        return _from_protobuf(data)
    except _MALFORMED:
        # Without the text of the error, which may quote the body.
        raise HTTPException(
            400, f"the body is no ExportLogsServiceRequest as {encoding}"
        ) from None


def _bounded(records: int) -> int:
    if records > MAX_RECORDS:
        raise HTTPException(
            413, f"the body has more than {MAX_RECORDS:,} records: send smaller batches"
        )
    return records


def _from_protobuf(data: bytes) -> Parsed:
    shallow = _Shallow.FromString(data)
    found = Parsed()
    found.records = _bounded(
        sum(
            len(scope.log_records)
            for group in shallow.resource_logs
            for scope in group.scope_logs
        )
    )
    try:
        found.request.ParseFromString(data)
    except DecodeError:
        return _one_by_one(shallow)
    return found


def _one_by_one(shallow: Any) -> Parsed:
    """Parse each part by itself: a text that is no UTF-8 spoils the whole message.

    A resource or scope that does is rejected with the records that are of it.
    """
    found = Parsed()
    for group in shallow.resource_logs:
        try:
            target = ResourceLogs(schema_url=group.schema_url.decode())
            target.resource.ParseFromString(group.resource)
        except _MALFORMED:
            found.rejected += sum(len(scope.log_records) for scope in group.scope_logs)
            continue
        for scope in group.scope_logs:
            try:
                inner = ScopeLogs(schema_url=scope.schema_url.decode())
                inner.scope.ParseFromString(scope.scope)
            except _MALFORMED:
                found.rejected += len(scope.log_records)
                continue
            for raw in scope.log_records:
                try:
                    inner.log_records.add().ParseFromString(raw)
                except DecodeError:
                    inner.log_records.pop()
                    found.rejected += 1
                else:
                    found.records += 1
            target.scope_logs.append(inner)
        found.request.resource_logs.append(target)
    return found


def _from_json(tree: Any) -> Parsed:
    if not isinstance(tree, dict):
        raise TypeError
    found = Parsed()
    for group in _taken(tree, "resourceLogs"):
        scopes = _taken(group, "scopeLogs")
        target: ResourceLogs = found.request.resource_logs.add()
        _fill(target, group)
        for scope in scopes:
            records = _list(scope, "logRecords")
            _bounded(found.records + found.rejected + len(records))
            inner: ScopeLogs = target.scope_logs.add()
            _fill(inner, scope)
            for record in records:
                try:
                    _fill(inner.log_records.add(), _with_base64_ids(record))
                except _MALFORMED:
                    inner.log_records.pop()
                    found.rejected += 1
                else:
                    found.records += 1
    return found


def _list(tree: _Object, name: str) -> list[Any]:
    """Take a list out of *tree*; empty where it is absent or null."""
    found = tree.pop(name, None) or []
    if not isinstance(found, list):
        raise TypeError(name)
    return found


def _taken(tree: _Object, name: str) -> list[_Object]:
    """Take a list of objects out of *tree*."""
    found = _list(tree, name)
    if not all(isinstance(one, dict) for one in found):
        raise TypeError(name)
    return found


def _fill(message: Message, tree: _Object) -> None:
    ParseDict(tree, message, ignore_unknown_fields=True)


def _with_base64_ids(record: Any) -> _Object:
    if not isinstance(record, dict):
        raise TypeError
    for name in ("traceId", "spanId"):
        if record.get(name):
            raw = bytes.fromhex(record[name])
            record[name] = base64.b64encode(raw).decode()
    return record
