"""A batch as lines of JSON, for people and for what reads a container's output."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from godot_otel.queue import MAX_BATCH_BYTES, Entry

_KINDS = ("", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUS = ("UNSET", "OK", "ERROR")
_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


def lines(entry: Entry) -> Iterator[bytes]:
    """Yield one line of ASCII for each record or span of *entry*.

    Raises:
        Exception: the payload is no OTLP request.
    """
    payload = entry.payload
    if entry.encoding == b"gzip":
        payload = zlib.decompressobj(wbits=31).decompress(payload, MAX_BATCH_BYTES)
    arrived = int.from_bytes(entry.id[:6], "big") * 1_000_000
    found = _spans(payload) if entry.signal == b"traces" else _records(payload, arrived)
    for one in found:
        yield json.dumps(one).encode() + b"\n"


def _records(payload: bytes, arrived: int) -> Iterator[dict[str, Any]]:
    request = ExportLogsServiceRequest.FromString(payload)
    for group in request.resource_logs:
        service, environment = _origin(group.resource.attributes)
        for scope in group.scope_logs:
            for record in scope.log_records:
                nanoseconds = record.time_unix_nano or record.observed_time_unix_nano
                yield {
                    "time": _rfc3339(nanoseconds or arrived),
                    "service": service,
                    "environment": environment,
                    "level": _level(record.severity_number),
                    "severity": record.severity_number,
                    "logger": scope.scope.name,
                    "body": _body(record.body),
                    "trace_id": _id(record.trace_id),
                    "span_id": _id(record.span_id),
                    "attributes": _object(record.attributes),
                }


def _spans(payload: bytes) -> Iterator[dict[str, Any]]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
    )

    request = ExportTraceServiceRequest.FromString(payload)
    for group in request.resource_spans:
        service, environment = _origin(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield {
                    "time": _rfc3339(span.start_time_unix_nano),
                    "end": _rfc3339(span.end_time_unix_nano),
                    "service": service,
                    "environment": environment,
                    "logger": scope.scope.name,
                    "name": span.name,
                    "kind": _name(_KINDS, span.kind),
                    "status": _name(_STATUS, span.status.code),
                    "status_message": span.status.message,
                    "trace_id": _id(span.trace_id),
                    "span_id": _id(span.span_id),
                    "parent_span_id": _id(span.parent_span_id),
                    "attributes": _object(span.attributes),
                    "events": [
                        {
                            "time": _rfc3339(event.time_unix_nano),
                            "name": event.name,
                            "attributes": _object(event.attributes),
                        }
                        for event in span.events
                    ],
                }


def _origin(resource: Iterable[KeyValue]) -> tuple[str, str]:
    facts = _object(resource)
    environment = facts.get("deployment.environment.name") or facts.get(
        "deployment.environment"
    )
    service = facts.get("service.name") or "unknown_service"
    return str(service), str(environment or "")


def _name(kinds: tuple[str, ...], number: int) -> str:
    return kinds[number] if 0 <= number < len(kinds) else ""


def _level(number: int) -> str:
    return _LEVELS[(number - 1) // 4] if 1 <= number <= 24 else ""


def _rfc3339(nanoseconds: int) -> str:
    seconds, nanos = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


def _id(raw: bytes) -> str | None:
    return raw.hex() if any(raw) else None


def _body(value: AnyValue) -> str:
    plain = _plain(value)
    if isinstance(plain, str):
        return plain
    return "" if plain is None else json.dumps(plain)


def _object(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {
        ("$" + pair.key if pair.key.startswith("$") else pair.key): _plain(pair.value)
        for pair in pairs
    }


def _plain(value: AnyValue) -> Any:
    """Turn one value into what JSON can hold, in the form in which it is stored."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    found = getattr(value, kind)
    if kind == "array_value":
        return [_plain(item) for item in found.values]
    if kind == "kvlist_value":
        return _object(found.values)
    if kind == "bytes_value":
        return {"$bytes": base64.b64encode(found).decode()}
    if kind == "double_value" and not math.isfinite(found):
        return {"$double": repr(found)}
    return found
