"""The JSON objects of the original system's clients, as one OTLP request.

Their fields are component, level, message, trace_id, data and created_at: the component
is the service, the message the body, and what is in data the attributes.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from godot_otel import queue
from godot_otel.errors import PermanentError
from godot_otel.redact import Redactor
from godot_otel_collector.redaction import redact
from godot_otel_collector.values import loads

LEVELS: dict[str, Any] = {
    "TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "WARNING": 13, "ERROR": 17,
    "FATAL": 21, "CRITICAL": 21,
}  # fmt: skip # a table; the original knew TRACE, DEBUG, INFO, WARN and ERROR
_MAX_DEPTH = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class Encoded:
    """The request made of some items, and the places of those that are not in it."""

    payload: bytes = b""
    records: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    """Place and reason."""


def encode(items: Sequence[bytes], redactor: Redactor, *, observed_ns: int) -> Encoded:
    """Encode *items* in their order; one without a time has *observed_ns*."""
    found = Encoded()
    request = ExportLogsServiceRequest()
    components: dict[str, Any] = {}
    for place, item in enumerate(items):
        try:
            _add(request, components, item, observed_ns)
        except PermanentError as error:
            found.refused.append((place, f"legacy list: {error}"))
        except Exception as error:  # whatever it is, it must not stop its neighbours
            reason = f"legacy list: {type(error).__name__}"
            found.refused.append((place, reason))
        else:
            found.records += 1
    redact(request, redactor)
    found.payload = request.SerializeToString()
    return found


def _add(
    request: ExportLogsServiceRequest,
    components: dict[str, Any],
    item: bytes,
    observed_ns: int,
) -> None:
    if len(item) > queue.MAX_BATCH_BYTES // 4:  # so that as OTLP it fits a batch
        raise PermanentError("more than 1 MiB; at most 4 MiB are kept of it")
    fields = _object(item)
    component, level = _text(fields, "component"), _text(fields, "level").upper()
    message, trace_id = _text(fields, "message"), _trace_id(fields)
    data, time_ns = fields.get("data") or {}, _time(fields) or observed_ns
    if not component or level not in LEVELS:
        raise PermanentError("no component" if not component else "unknown level")
    if not isinstance(data, dict):
        raise PermanentError("data is no object")
    logs = components.get(component)
    if logs is None:
        group = request.resource_logs.add()
        name = group.resource.attributes.add(key="service.name")
        name.value.string_value = component
        logs = components[component] = group.scope_logs.add().log_records
    record = LogRecord(
        time_unix_nano=time_ns, observed_time_unix_nano=observed_ns,
        severity_number=LEVELS[level], severity_text=level, trace_id=trace_id,
    )  # fmt: skip # one record
    record.body.string_value = message
    for key, value in data.items():
        _fill(record.attributes.add(key=key).value, value, 0)
    logs.append(record)


def _object(item: bytes) -> dict[str, Any]:
    try:
        fields = loads(item)
    except (ValueError, RecursionError):
        raise PermanentError("no JSON") from None
    if not isinstance(fields, dict):
        raise PermanentError("no JSON object")
    return fields


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise PermanentError(f"{name} is no text")
    return value


def _trace_id(fields: dict[str, Any]) -> bytes:
    value = fields.get("trace_id")
    if not value:
        return b""
    try:
        return uuid.UUID(value).bytes
    except (ValueError, AttributeError, TypeError):
        raise PermanentError("trace_id is no UUID") from None


def _time(fields: dict[str, Any]) -> int:
    """The time in nanoseconds, in UTC where it says nothing else; 0 without one."""
    value = fields.get("created_at")
    if value is None:
        return 0
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        nanoseconds = (moment - _EPOCH) // _MICROSECOND * 1000
    except (ValueError, TypeError, OverflowError):
        raise PermanentError("created_at is no ISO 8601 time") from None
    return min(max(nanoseconds, 0), 2**63)


def _fill(target: AnyValue, value: Any, depth: int) -> None:
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):  # before int: every bool is one
        target.bool_value = value
    elif isinstance(value, int):
        if -(2**63) <= value < 2**63:
            target.int_value = value
        else:
            target.string_value = str(value)
    elif isinstance(value, float):
        target.double_value = value
    elif depth >= _MAX_DEPTH:
        target.string_value = "[too deep]"
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for one in value:
            _fill(target.array_value.values.add(), one, depth + 1)
    elif isinstance(value, dict):
        target.kvlist_value.SetInParent()
        for key, one in value.items():
            _fill(target.kvlist_value.values.add(key=key).value, one, depth + 1)
