"""Turns an entry of the queue into a batch of rows, packed for COPY.

A bad record costs that record: what can be mended is mended here (NUL, sizes, clocks,
malformed ids), what cannot becomes a dead letter with its reason.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from godot_otel import queue, words
from godot_otel_collector import dictionaries, entry, salvage
from godot_otel_collector.batch import Batch, DeadLetter, Origin, Rows
from godot_otel_collector.templates import Templates
from godot_otel_collector.values import cut_values, dumps, json_value
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

# Lengths and values of the columns in their order; _USUAL goes on to trace_flags.
_FIXED = struct.Struct(">iqihiqiqiqihih")
_USUAL = struct.Struct(">iqihiqiqiqihih iqih i16si8sih")
_OBSERVED = struct.Struct(">iqih")
_LENGTH = struct.Struct(">i")
_SHORT = struct.Struct(">ih")
_LONG = struct.Struct(">ii")
_NULL = b"\xff\xff\xff\xff"
_NO_TRACE_ID = bytes(16)
_LATEST = 9_000_000_000_000_000_000  # nanoseconds; beyond the year 2255 is no clock
# The text that says no more than the number does.
_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_USUAL_TEXT = ("", *(name for name in _LEVELS for _ in range(4)))


@dataclass(slots=True)
class _Scope:
    """What the records of one scope of one resource share."""

    received: int
    """Microseconds of the queue's clock."""
    resource_id: int
    scope_id: int
    origin: Origin
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
        if not batch.dead:
            self.fill(batch)
        return batch

    def fill(self, batch: Batch) -> None:
        """Make the rows of a batch, and its dead letters, from its payload."""
        batch.rows, batch.dead = Rows(), []
        received = queue.stream_milliseconds(batch.stream_id) * 1000
        ordinal = 0
        for group, scope, records in _scopes(batch):
            if isinstance(records, DeadLetter):
                batch.dead.append(records)
                continue
            shared = _scope(batch, group, scope, received)
            for record in records:
                try:
                    self._record(batch, shared, record, ordinal)
                except (ValueError, TypeError, OverflowError, RecursionError) as error:
                    reason = f"undecodable: {type(error).__name__}"
                    payload = salvage.request(group, scope, record)
                    batch.dead.append(DeadLetter(ordinal, reason, payload))
                ordinal += 1

    def _record(
        self, batch: Batch, shared: _Scope, record: LogRecord, ordinal: int
    ) -> None:
        """Append one record to the batch's rows.

        Written out in one piece: this runs once a record, and most of what it could
        call would cost more than it does.
        """
        attributes, pairs = _attributes(record)
        nanoseconds = record.time_unix_nano or record.observed_time_unix_nano
        time, nanos = nanoseconds // 1000, nanoseconds % 1000
        received = shared.received
        if not received - self._retention <= time <= received + DAY:
            if nanoseconds:
                attributes["log.original_time"] = nanoseconds
            time, nanos = received, 0
        body, data, body_data = _body(record, attributes)
        severity = record.severity_number
        if not 0 <= severity <= 24:
            attributes["log.original_severity"] = int(severity)
            severity = LogRecord().severity_number
        template_id, template = self._templates.find(
            shared.origin[0], shared.logger, data, attributes
        )
        batch.templates[template_id] = (shared.logger, template)
        fixed = (
            8, time - _EPOCH, 2, nanos, 8, template_id, 8, shared.resource_id,
            8, shared.scope_id, 2, batch.home, 2, severity,
        )  # fmt: skip # a column's length beside its value
        observed = record.observed_time_unix_nano
        trace_id, span_id = record.trace_id, record.span_id
        if (
            len(trace_id) == 16
            and len(span_id) == 8
            and 0 < observed < _LATEST
            and trace_id != _NO_TRACE_ID
        ):
            head = _USUAL.pack(
                *fixed, 8, observed // 1000 - _EPOCH, 2, observed % 1000,
                16, trace_id, 8, span_id, 2, record.flags & 0xFF,
            )  # fmt: skip # a column's length beside its value
        else:
            trace_id, trace = _trace(record, attributes)
            head = _FIXED.pack(*fixed) + _observed(observed) + trace
        dropped, text = record.dropped_attributes_count, record.severity_text
        event = record.event_name
        packed = (
            head,
            _LONG.pack(4, dropped & 0x7FFFFFFF) if dropped else _NULL,
            _NULL if text == _USUAL_TEXT[severity] else _packed(clean(text)[:64]),
            shared.names,
            _packed(clean(event)) if event else _NULL,
            _LENGTH.pack(len(data)),
            data,
            body_data,
            _json(dumps(attributes)) if attributes else _NULL,
        )
        rows = batch.rows
        rows.times.append(time)
        rows.packed.append(b"".join(packed))
        rows.traces.append(trace_id or None)
        rows.origins.append(shared.origin)
        rows.severities.append(severity)
        rows.templates.append(template_id)
        rows.texts.append(words.searchable(body, attributes))
        rows.pairs.append(pairs)
        rows.ordinals.append(ordinal)


def _scope(
    batch: Batch, group: ResourceLogs, scope: ScopeLogs, received: int
) -> _Scope:
    resource_id, resource = dictionaries.resource(group)
    scope_id, fields = dictionaries.scope(scope)
    batch.resources[resource_id] = resource
    batch.scopes[scope_id] = fields
    service, environment, logger = resource[1], resource[2], fields[1]
    names = _packed(environment) + _packed(service) + _packed(logger)
    origin = (service, environment)
    return _Scope(received, resource_id, scope_id, origin, logger, names)


_Records = Iterable[LogRecord] | DeadLetter


def _scopes(batch: Batch) -> Iterator[tuple[ResourceLogs, ScopeLogs, _Records]]:
    """Walk a request's scopes in order; what cannot be parsed is a dead letter."""
    try:
        request = ExportLogsServiceRequest.FromString(batch.payload)
    except Exception:  # protobuf's DecodeError has no stable home
        for group, scope, record in salvage.records(batch.payload):
            yield (
                group,
                scope,
                (record if isinstance(record, DeadLetter) else (record,)),
            )
        return
    for group in request.resource_logs:
        for scope in group.scope_logs:
            yield group, scope, scope.log_records


def _attributes(record: LogRecord) -> tuple[dict[str, Any], str]:
    """A record's attributes, cut to their cap, and what a filter holds of them."""
    attributes: dict[str, Any] = {}
    pairs: list[str] = []
    long = False
    for pair in record.attributes:
        key, value = pair.key, pair.value
        if key[:1] == "$":
            key = "$" + key
        string = value.string_value
        if string:  # most are, and asking for the kind costs as much as the value
            attributes[key] = string
            if len(string) <= words.MAX_VALUE:
                pairs.append(f"{key}={string}")
            elif len(string) > 2048:
                long = True
            continue
        kind = value.WhichOneof("value")
        if kind == "int_value":
            attributes[key] = number = value.int_value
            pairs.append(f"{key}={number}")
        elif kind == "bool_value":
            attributes[key] = value.bool_value
            pairs.append(f"{key}=true" if value.bool_value else f"{key}=false")
        elif kind == "string_value":
            attributes[key] = ""
            pairs.append(f"{key}=")
        else:
            attributes[key] = json_value(value)
            long = True
    if long and (fell := cut_values(attributes)):
        attributes["log.truncated_bytes"] = fell + _number(
            attributes.get("log.truncated_bytes")
        )
    return attributes, "\0".join(pairs)


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _body(record: LogRecord, attributes: dict[str, Any]) -> tuple[str, bytes, bytes]:
    """The body as text, as UTF-8, and packed as JSON where it is no string."""
    value = record.body
    body, packed = value.string_value, _NULL
    if not body and (value.WhichOneof("value") != "string_value"):
        plain = json_value(value)
        data = dumps(plain)
        body = "" if plain is None else data.decode()
        if len(data) <= MAX_BODY_BYTES:  # JSON cut short is no JSON
            packed = _json(data)
    data = body.encode()
    if b"\0" in data:
        body = clean(body)
        data = body.encode()
    if len(data) > MAX_BODY_BYTES:
        body = data[:MAX_BODY_BYTES].decode("utf-8", "ignore")
        kept = body.encode()
        attributes["log.truncated_bytes"] = (
            len(data) - len(kept) + _number(attributes.get("log.truncated_bytes"))
        )
        data = kept
    return body, data, packed


def _observed(nanoseconds: int) -> bytes:
    if not 0 < nanoseconds < _LATEST:
        return _NULL + _NULL
    return _OBSERVED.pack(8, nanoseconds // 1000 - _EPOCH, 2, nanoseconds % 1000)


def _trace(record: LogRecord, attributes: dict[str, Any]) -> tuple[bytes, bytes]:
    """Trace id, span id and flags, packed; a malformed id moves to an attribute."""
    trace_id, span_id = record.trace_id, record.span_id
    if not trace_id and not span_id and not record.flags:
        return b"", _NULL * 3
    if trace_id and len(trace_id) != 16:
        attributes["log.original_trace_id"] = trace_id[:64].hex()
    if span_id and len(span_id) != 8:
        attributes["log.original_span_id"] = span_id[:64].hex()
    trace = trace_id if len(trace_id) == 16 and any(trace_id) else b""
    span = span_id if len(span_id) == 8 and any(span_id) else b""
    return trace, b"".join((
        _LENGTH.pack(16) + trace if trace else _NULL,
        _LENGTH.pack(8) + span if span else _NULL,
        _SHORT.pack(2, record.flags & 0xFF) if record.flags else _NULL,
    ))  # fmt: skip # one column a line
