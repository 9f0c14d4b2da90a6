"""One record of a dead letter as far as it decodes, in the words of people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from godot_otel_collector.batch import LOGS, TRACES
from godot_otel_collector.values import json_object, json_value
from godot_otel_collector.wire import (
    Group,
    LogsRequest,
    Record,
    Scope,
    Span,
    SpansRequest,
    Status,
)

Shown = dict[str, Any]


def requests(signal: str) -> Any:
    """The class of a signal's requests."""
    return SpansRequest if signal == TRACES else LogsRequest


def shown(signal: str, group: Group, scope: Scope, record: Record) -> Shown:
    """What of a record can be read; ``undecodable`` names what cannot."""
    broken: list[str] = []
    resource = _parsed(Resource, group.resource, "resource", broken)
    about = json_object(resource.attributes)
    inner = _parsed(InstrumentationScope, scope.scope, "scope", broken)
    service = str(about.get("service.name", ""))
    own = _SHOWN.get(signal, _log)(record, inner.name, broken)
    time = {"time": own.pop("time"), "service": service}
    return time | own | {"resource": about, "undecodable": broken}


def _log(record: Record, logger: str, broken: list[str]) -> Shown:
    return {
        "time": _time(record.time_unix_nano or record.observed_time_unix_nano),
        "severity": record.severity_number,
        "logger": logger,
        "body": json_value(_parsed(AnyValue, record.body, "body", broken)),
        "trace_id": record.trace_id.hex() or None,
        "span_id": record.span_id.hex() or None,
        "attributes": _attributes(record.attributes, broken),
    }


def _span(span: Span, scope: str, broken: list[str]) -> Shown:
    status = _parsed(Status, span.status, "status", broken)
    return {
        "time": _time(span.start_time_unix_nano),
        "end": _time(span.end_time_unix_nano),
        "name": _text(span.name),
        "kind": span.kind,
        "status": status.code,
        "status_message": _text(status.message),
        "scope": scope,
        "trace_id": span.trace_id.hex() or None,
        "span_id": span.span_id.hex() or None,
        "parent_id": span.parent_span_id.hex() or None,
        "attributes": _attributes(span.attributes, broken),
        "events": [
            {
                "time": _time(event.time_unix_nano),
                "name": _text(event.name),
                "attributes": _attributes(event.attributes, broken),
            }
            for event in span.events
        ],
        "links": [
            {"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()}
            for link in span.links
        ],
    }


_SHOWN: dict[str, Callable[[Any, str, list[str]], Shown]] = {LOGS: _log, TRACES: _span}


def _attributes(raws: Iterable[bytes], broken: list[str]) -> Shown:
    pairs = [
        _parsed(KeyValue, raw, f"attribute {place}", broken)
        for place, raw in enumerate(raws, 1)
    ]
    return json_object(pair for pair in pairs if pair.key)


def _parsed(message: Any, raw: bytes, name: str, broken: list[str]) -> Any:
    """The message in *raw*, or an empty one with its name in *broken*."""
    try:
        return message.FromString(raw)
    except (DecodeError, RecursionError):
        broken.append(name)
        return message()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _time(nanoseconds: int) -> str | None:
    if not 0 < nanoseconds < 253_402_300_800 * 10**9:  # the year 10000
        return None
    whole, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
