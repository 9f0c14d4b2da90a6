"""Turns an entry of the queue into a batch of rows, packed for COPY.

A bad record costs that record: what can be mended is mended here (NUL, sizes, clocks,
malformed ids), what cannot becomes a dead letter with its reason.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from godot_otel import queue, words
from godot_otel_collector import dictionaries, entry, salvage
from godot_otel_collector.batch import Batch, DeadLetter, Row
from godot_otel_collector.templates import Templates
from godot_otel_collector.values import cut, cut_values, dumps, json_value
from godot_otel_collector.values import text as clean

COLUMNS = (
    "seq, time, time_nanos, template_id, resource_id, scope_id, home, severity,"
    " observed_time, observed_nanos, trace_id, span_id, trace_flags,"
    " dropped_attributes, severity_text, environment, service, logger, event_name,"
    " body, body_data, attributes"
)
MAX_BODY_BYTES = 64 * 1024
DAY = 86_400_000_000  # microseconds
_EPOCH = 946_684_800_000_000  # Postgres counts microseconds from 2000-01-01

_FIXED = struct.Struct(">iqihiqiqiqihih")
_OBSERVED = struct.Struct(">iqih")
_TRACE = struct.Struct(">i16si8sih")
_LENGTH = struct.Struct(">i")
_SHORT = struct.Struct(">ih")
_NULL = b"\xff\xff\xff\xff"
_NO_TRACE = _NULL * 3
_NO_OBSERVED = _NULL * 2
_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


@dataclass(slots=True)
class _Scope:
    """What the records of one scope of one resource share."""

    resource_id: int
    scope_id: int
    service: str
    environment: str
    logger: str
    names: bytes
    """environment, service and logger, packed."""


def _packed(value: str) -> bytes:
    data = value.encode()
    return _LENGTH.pack(len(data)) + data


def _json(data: bytes) -> bytes:
    return _LENGTH.pack(len(data) + 1) + b"\x01" + data  # 1 is jsonb's version


class Decoder:
    """Decodes entries; keeps what is the same from one batch to the next."""

    def __init__(self, *, retention_days: int) -> None:
        self._retention = retention_days * DAY
        self._templates = Templates()

    def decode(self, delivery: queue.Delivered) -> Batch:
        """Decode one entry.

        A batch that is no OTLP at all comes back with one dead letter and no rows.

        Raises:
            UnknownContractError: version, signal or encoding is not known here.
        """
        batch = entry.envelope(delivery)
        if batch.dead:
            return batch
        received = queue.stream_milliseconds(batch.stream_id) * 1000
        for ordinal, (group, scope, record) in enumerate(_records(batch)):
            if isinstance(record, DeadLetter):
                batch.dead.append(record)
                continue
            try:
                shared = self._shared(batch, group, scope)
                row = self._row(batch, shared, record, ordinal, received)
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                reason = f"undecodable: {type(error).__name__}"
                payload = salvage.request(group, scope, record)
                batch.dead.append(DeadLetter(ordinal, reason, payload))
            else:
                batch.rows.append(row)
        return batch

    def _shared(self, batch: Batch, group: ResourceLogs, scope: ScopeLogs) -> _Scope:
        key = (id(group), id(scope))
        if self._last is None or self._last[0] != key:
            # The messages are kept too: an id means something only while they live.
            self._last = (key, self._scope(batch, group, scope), group, scope)
        return self._last[1]

    _last: tuple[tuple[int, int], _Scope, ResourceLogs, ScopeLogs] | None = None

    def _scope(self, batch: Batch, group: ResourceLogs, scope: ScopeLogs) -> _Scope:
        resource_id, resource = dictionaries.resource(group)
        scope_id, fields = dictionaries.scope(scope)
        batch.resources[resource_id] = resource
        batch.scopes[scope_id] = fields
        service, environment, logger = resource[1], resource[2], fields[1]
        names = _packed(environment) + _packed(service) + _packed(logger)
        return _Scope(resource_id, scope_id, service, environment, logger, names)

    def _row(
        self,
        batch: Batch,
        shared: _Scope,
        record: LogRecord,
        ordinal: int,
        received: int,
    ) -> Row:
        attributes, pairs = _attributes(record)
        nanoseconds = record.time_unix_nano or record.observed_time_unix_nano
        time, nanos = divmod(nanoseconds, 1000)
        if not received - self._retention <= time <= received + DAY:
            if nanoseconds:
                attributes["log.original_time"] = nanoseconds
            time, nanos = received, 0
        body, body_data = _body(record, attributes)
        severity = int(record.severity_number)
        if not 0 <= severity <= 24:
            attributes["log.original_severity"] = severity
            severity = 0
        template_id, template = self._templates.find(
            shared.service, shared.logger, body, attributes
        )
        batch.templates[template_id] = (shared.logger, template)
        trace_id, trace = _trace(record, attributes)
        packed = b"".join((
            _FIXED.pack(
                8, time - _EPOCH, 2, nanos, 8, template_id, 8, shared.resource_id,
                8, shared.scope_id, 2, batch.home, 2, severity,
            ),
            _observed(record),
            trace,
            _NULL if not record.dropped_attributes_count
            else struct.pack(">ii", 4, record.dropped_attributes_count & 0x7FFFFFFF),
            _severity_text(record.severity_text, severity),
            shared.names,
            _packed(clean(record.event_name)) if record.event_name else _NULL,
            _packed(body),
            body_data,
            _json(dumps(attributes)) if attributes else _NULL,
        ))  # fmt: skip # in the order of COLUMNS
        return Row(
            time, packed, trace_id, shared.service, shared.environment, severity,
            template_id, words.searchable(body, attributes), pairs, ordinal,
        )  # fmt: skip # in the order of Row


def _records(
    batch: Batch,
) -> Iterator[tuple[ResourceLogs, ScopeLogs, LogRecord | DeadLetter]]:
    """Walk a request's records in order; one that cannot be parsed is a dead letter."""
    try:
        request = ExportLogsServiceRequest.FromString(batch.payload)
    except Exception:  # protobuf's DecodeError has no stable home
        yield from salvage.records(batch.payload)
        return
    for group in request.resource_logs:
        for scope in group.scope_logs:
            for record in scope.log_records:
                yield group, scope, record


def _attributes(
    record: LogRecord,
) -> tuple[dict[str, Any], list[tuple[str, str | int]]]:
    """A record's attributes, cut to their cap, and those that a filter holds."""
    attributes: dict[str, Any] = {}
    pairs: list[tuple[str, str | int]] = []
    long = False
    for pair in record.attributes:
        key, value = pair.key, pair.value
        if key[:1] == "$":
            key = "$" + key
        kind = value.WhichOneof("value")
        if kind == "string_value":
            attributes[key] = string = value.string_value
            pairs.append((key, string))
            long = long or len(string) > 2048
        elif kind == "int_value":
            attributes[key] = number = value.int_value
            pairs.append((key, number))
        elif kind == "bool_value":
            attributes[key] = value.bool_value
            pairs.append((key, "true" if value.bool_value else "false"))
        else:
            attributes[key] = json_value(value)
            long = True
    if long and (fell := cut_values(attributes)):
        attributes["log.truncated_bytes"] = fell + _number(
            attributes.get("log.truncated_bytes")
        )
        pairs = [
            (k, v) for k, v in pairs if not isinstance(v, str) or attributes[k] == v
        ]
    return attributes, pairs


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _body(record: LogRecord, attributes: dict[str, Any]) -> tuple[str, bytes]:
    """The body as text, and packed as JSON where it is no string."""
    body = record.body
    if body.WhichOneof("value") == "string_value":
        string, fell = cut(clean(body.string_value), MAX_BODY_BYTES)
        data = _NULL
    else:
        value = json_value(body)
        encoded = dumps(value)
        shown = "" if value is None else encoded.decode()
        string, fell = cut(shown, MAX_BODY_BYTES)
        data = _NULL if fell else _json(encoded)  # JSON cut short is no JSON
    if fell:
        attributes["log.truncated_bytes"] = fell + _number(
            attributes.get("log.truncated_bytes")
        )
    return string, data


def _observed(record: LogRecord) -> bytes:
    nanoseconds = record.observed_time_unix_nano
    if not nanoseconds or nanoseconds == record.time_unix_nano:
        return _NO_OBSERVED
    time, nanos = divmod(nanoseconds, 1000)
    if time > 9_000_000_000_000_000:  # beyond the year 2255: no clock
        return _NO_OBSERVED
    return _OBSERVED.pack(8, time - _EPOCH, 2, nanos)


def _trace(record: LogRecord, attributes: dict[str, Any]) -> tuple[bytes | None, bytes]:
    """Trace id, span id and flags, packed; a malformed id moves to an attribute."""
    trace_id, span_id = record.trace_id, record.span_id
    if len(trace_id) == 16 and len(span_id) == 8 and any(trace_id) and any(span_id):
        return trace_id, _TRACE.pack(16, trace_id, 8, span_id, 2, record.flags & 0xFF)
    if not trace_id and not span_id and not record.flags:
        return None, _NO_TRACE
    if trace_id and len(trace_id) != 16:
        attributes["log.original_trace_id"] = trace_id[:64].hex()
    if span_id and len(span_id) != 8:
        attributes["log.original_span_id"] = span_id[:64].hex()
    trace = trace_id if len(trace_id) == 16 and any(trace_id) else None
    span = span_id if len(span_id) == 8 and any(span_id) else None
    return trace, b"".join((
        _LENGTH.pack(16) + trace if trace else _NULL,
        _LENGTH.pack(8) + span if span else _NULL,
        _SHORT.pack(2, record.flags & 0xFF) if record.flags else _NULL,
    ))  # fmt: skip # one column a line


def _severity_text(text: str, severity: int) -> bytes:
    """Null where the text is the usual name of the number."""
    usual = _LEVELS[(severity - 1) // 4] if severity else ""
    return _NULL if text == usual else _packed(clean(text)[:64])
