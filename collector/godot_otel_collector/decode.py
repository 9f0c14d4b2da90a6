"""Turns an entry of the queue into a batch of rows, packed for COPY.

A bad record costs that record: what can be mended is mended here (NUL, sizes, clocks,
malformed ids), what cannot becomes a dead letter with its reason.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from godot_otel import queue, words
from godot_otel_collector import dictionaries, entry, salvage
from godot_otel_collector.attributes import TRUNCATED, Attributes, member
from godot_otel_collector.batch import Batch, DeadLetter, Origin, Row, Rows
from godot_otel_collector.call_sites import SETTLED, Variant
from godot_otel_collector.templates import (
    GIVEN,
    LINE,
    OTHER,
    PATH,
    Templates,
    alike,
)
from godot_otel_collector.values import clean, dumps, json_value, text
from godot_otel_collector.wire import Group, Record, Request, Scope

COLUMNS = (
    "seq, time, time_nanos, template_id, resource_id, scope_id, home, severity,"
    " observed_time, observed_nanos, trace_id, span_id, trace_flags,"
    " dropped_attributes, severity_text, environment, service, logger, event_name,"
    " body, body_data, attributes"
)
MAX_BODY_BYTES = 64 * 1024
DAY = 86_400_000_000  # microseconds
_EPOCH = 946_684_800_000_000  # Postgres counts microseconds from 2000-01-01

# The number of columns, then their lengths and values in their order, seq being 0;
# _USUAL goes on to trace_flags.
_FIXED = struct.Struct(">hiq iqihiqiqiqihih")
_USUAL = struct.Struct(">hiq iqihiqiqiqihih iqih i16si8sih")
_OBSERVED = struct.Struct(">iqih")
_TEMPLATE_AT = 36  # where the template's id is in a packed row
_LENGTH = struct.Struct(">i")
_SHORT = struct.Struct(">ih")
_LONG = struct.Struct(">ii")
_NULL = b"\xff\xff\xff\xff"
_NO_TRACE_ID = bytes(16)
_LATEST = 9_000_000_000_000_000_000  # nanoseconds; beyond the year 2255 is no clock
# The text that says no more than the number does.
_LEVELS = (b"TRACE", b"DEBUG", b"INFO", b"WARN", b"ERROR", b"FATAL")
_USUAL_TEXT = (b"", *(name for name in _LEVELS for _ in range(4)))


@dataclass(slots=True)
class _Shared:
    """What the records of one scope of one resource share."""

    received: int
    """Microseconds of the queue's clock."""
    resource_id: int
    scope_id: int
    origin: Origin
    logger: str
    names: bytes
    """environment, service and logger, packed."""
    templates: dict[bytes, tuple[int, str]]
    """Templates of the logger's lines, as far as they are known."""


def _packed(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


class Decoder:
    """Decodes entries; keeps what is the same from one batch to the next."""

    def __init__(self, *, retention_days: int) -> None:
        self._retention = retention_days * DAY
        self._templates = Templates()
        self._attributes = Attributes()
        self._known = self._attributes.known.get
        self._resources: dict[tuple[bytes, bytes], tuple[Any, ...]] = {}
        self._scopes: dict[tuple[bytes, bytes], tuple[Any, ...]] = {}
        self._young: list[tuple[int, _Shared, Variant]] = []
        self.floor = 0
        """Microseconds: what is older has no partition now, as it is being dropped."""

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
        self._young.clear()
        rows: list[Row] = []
        ordinal = 0
        try:
            request = Request.FromString(batch.payload)
            for group in request.resource_logs:
                for scope in group.scope_logs:
                    try:
                        shared = self._shared(batch, group, scope)
                    except DecodeError:
                        batch.dead += _undecodable(group, scope, ordinal)
                        ordinal += len(scope.log_records)
                        continue
                    for record in scope.log_records:
                        try:
                            self._record(rows, batch, shared, record, ordinal)
                        except (DecodeError, ValueError, RecursionError) as error:
                            reason = f"undecodable: {type(error).__name__}"
                            payload = salvage.request(group, scope, [record])
                            letter = DeadLetter(ordinal, reason, payload)
                            batch.dead.append(letter)
                        ordinal += 1
        except DecodeError:
            batch.dead = [DeadLetter(-1, "no OTLP request", batch.payload)]
        if not ordinal and batch.records and not batch.dead:
            # Bytes of anything may parse as a message of fields that nobody knows.
            batch.dead = [DeadLetter(-1, "no records in the request", batch.payload)]
        batch.rows = Rows.of(rows)
        self._name_young(batch)

    def _name_young(self, batch: Batch) -> None:
        """Give lines of new call sites what all of the batch made of their templates.

        Rows that are made again keep the templates of the first time: those are what
        the store was told.
        """
        ids = batch.rows.templates
        if len(batch.template_ids) == len(ids):
            chosen = list(enumerate(batch.template_ids))
        else:
            chosen = []
            for place, shared, variant in self._young:
                service, logger = shared.origin[0], shared.logger
                named = self._templates.find(service, logger, b"", variant.text)
                batch.templates[named[0]] = (logger, named[1])
                chosen.append((place, named[0]))
            batch.template_ids = ids
        for place, template_id in chosen:
            if ids[place] != template_id:
                ids[place] = template_id
                row, start = batch.rows.packed[place], _TEMPLATE_AT
                packed = template_id.to_bytes(8, "big", signed=True)
                batch.rows.packed[place] = row[:start] + packed + row[start + 8 :]

    def _shared(self, batch: Batch, group: Group, scope: Scope) -> _Shared:
        """What the records of one scope have in common; known ones by their bytes."""
        raw = (group.resource, group.schema_url)
        resource = self._resources.get(raw)
        if resource is None:
            _bound(self._resources)
            resource = self._resources[raw] = dictionaries.resource(*raw)
        raw = (scope.scope, scope.schema_url)
        fields = self._scopes.get(raw)
        if fields is None:
            _bound(self._scopes)
            fields = self._scopes[raw] = dictionaries.scope(*raw)
        batch.resources[resource[0]] = resource
        batch.scopes[fields[0]] = fields
        service, environment, logger = resource[1], resource[2], fields[1]
        names = (environment, service, logger)
        return _Shared(
            queue.stream_milliseconds(batch.stream_id) * 1000,
            resource[0],
            fields[0],
            (service, environment),
            logger,
            b"".join(_packed(name.encode()) for name in names),
            self._templates.of(service, logger),
        )

    def _record(
        self,
        rows: list[Row],
        batch: Batch,
        shared: _Shared,
        record: Record,
        ordinal: int,
    ) -> None:
        """Append one record to *rows*.

        Written out in one piece: this runs once a record, and most of what it could
        call would cost more than it does.
        """
        members: list[bytes] = []
        pairs: list[bytes] = []
        special: dict[str, Any] = {}
        fell = 0
        known, parse = self._known, self._attributes.parse
        for raw in record.attributes:
            json, pair, noted = known(raw) or parse(raw)
            members.append(json)
            pairs.append(pair)
            if noted:
                special[noted[0]] = noted[1]
                fell += noted[2]
        nanoseconds = record.time_unix_nano or record.observed_time_unix_nano
        time, nanos = nanoseconds // 1000, nanoseconds % 1000
        age = time - shared.received
        if not -self._retention <= age <= DAY or time < self.floor:
            if nanoseconds:
                members.append(member("log.original_time", nanoseconds))
            time, nanos = shared.received, 0
        body, body_data = record.body, _NULL
        size = len(body)
        if 1 < size < 130 and body[0] == 0x0A and body[1] == size - 2:
            body = clean(body[2:])  # as ``_body`` would, which is another call
        else:
            body, body_data = _body(body)
        if len(body) > MAX_BODY_BYTES:
            fell += len(body)
            body = body[:MAX_BODY_BYTES].decode("utf-8", "ignore").encode()
            fell -= len(body)
        if fell:
            members.append(member(TRUNCATED, fell + _number(special.get(TRUNCATED))))
        severity = record.severity_number
        if not 0 <= severity <= 24:
            members.append(member("log.original_severity", severity))
            severity = 0
        service, logger = shared.origin[0], shared.logger
        given = _given(special) if special else ""
        young: Variant | None = None
        if special and not given:
            path, number = special.get(PATH), special.get(LINE)
            if path.__class__ is str and number.__class__ is int:
                young = self._templates.learn(service, logger, path, number, body)
                if young.quiet >= SETTLED:
                    given, young = young.text, None
        if young is None:
            found = None if given else shared.templates.get(alike(body))
            template_id, template = found or self._templates.find(
                service, logger, body, given
            )
            if template_id not in batch.templates:
                batch.templates[template_id] = (logger, template)
        else:
            young.quiet += 1
            template_id = OTHER  # until the batch's end
        observed = record.observed_time_unix_nano
        trace_id, span_id = record.trace_id, record.span_id
        if (
            len(trace_id) == 16
            and len(span_id) == 8
            and 0 < observed < _LATEST
            and trace_id != _NO_TRACE_ID
        ):
            head = _USUAL.pack(
                22, 8, 0, 8, time - _EPOCH, 2, nanos, 8, template_id,
                8, shared.resource_id, 8, shared.scope_id, 2, batch.home, 2, severity,
                8, observed // 1000 - _EPOCH, 2, observed % 1000,
                16, trace_id, 8, span_id, 2, record.flags & 0xFF,
            )  # fmt: skip # a column's length beside its value
        else:
            trace_id, trace = _trace(record, members)
            fixed = _FIXED.pack(
                22, 8, 0, 8, time - _EPOCH, 2, nanos, 8, template_id,
                8, shared.resource_id, 8, shared.scope_id, 2, batch.home, 2, severity,
            )  # fmt: skip # as above
            head = fixed + _observed(observed) + trace
        dropped, level = record.dropped_attributes_count, record.severity_text
        event = record.event_name
        json = b"\x01{%b}" % b",".join(members)  # 1 is jsonb's version
        packed = b"".join((
            head,
            _LONG.pack(4, dropped & 0x7FFFFFFF) if dropped else _NULL,
            _NULL if level == _USUAL_TEXT[severity] else _packed(clean(level[:64])),
            shared.names,
            _packed(clean(event[:1024])) if event else _NULL,
            _LENGTH.pack(len(body)), body,
            body_data,
            _LENGTH.pack(len(json)) + json if members else _NULL,
        ))  # fmt: skip # in the order of COLUMNS
        rows.append((
            time, packed, trace_id or None, shared.origin, severity, template_id,
            _searchable(body, special) if special else body, b"\0".join(pairs), ordinal,
        ))  # fmt: skip # in the order of Rows
        if young is not None:
            self._young.append((len(rows) - 1, shared, young))


def _undecodable(group: Group, scope: Scope, ordinal: int) -> list[DeadLetter]:
    """One letter for all records of a scope: each would hold the resource again."""
    if not scope.log_records:
        return []
    payload = salvage.request(group, scope, scope.log_records)
    return [DeadLetter(ordinal, "undecodable resource or scope", payload)]


def _bound(cache: dict[Any, Any]) -> None:
    if len(cache) >= 10_000:
        cache.clear()


def _given(special: dict[str, Any]) -> str:
    for name in special:
        if name in GIVEN:
            return text(str(special[name]))
    return ""


def _searchable(body: bytes, special: dict[str, Any]) -> bytes:
    if words.EXCEPTION.isdisjoint(special):
        return body
    return clean(words.searchable(body.decode(), special).encode())


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _body(raw: bytes) -> tuple[bytes, bytes]:
    """The body as UTF-8, and packed as JSON where it is no string."""
    # An AnyValue of a string: the tag, the length as a varint, the string.
    if raw[:1] == b"\x0a" and len(raw) > 1:
        size, start = raw[1], 2
        if size > 0x7F and len(raw) > 2:
            size, start = size & 0x7F | raw[2] << 7, 3
            if size > 0x3FFF and len(raw) > 3:
                size, start = size & 0x3FFF | raw[3] << 14, 4
        if size == len(raw) - start:
            return clean(raw[start:]), _NULL
    value = AnyValue.FromString(raw)
    if value.WhichOneof("value") == "string_value":
        return clean(value.string_value.encode()), _NULL
    plain = json_value(value)
    data = dumps(plain)
    packed = _packed(b"\x01" + data) if len(data) <= MAX_BODY_BYTES else _NULL
    return (b"" if plain is None else data), packed


def _observed(nanoseconds: int) -> bytes:
    if not 0 < nanoseconds < _LATEST:
        return _NULL + _NULL
    return _OBSERVED.pack(8, nanoseconds // 1000 - _EPOCH, 2, nanoseconds % 1000)


def _trace(record: Record, members: list[bytes]) -> tuple[bytes, bytes]:
    """Trace id, span id and flags, packed; a malformed id moves to an attribute."""
    trace_id, span_id = record.trace_id, record.span_id
    if not trace_id and not span_id and not record.flags:
        return b"", _NULL * 3
    if trace_id and len(trace_id) != 16:
        members.append(member("log.original_trace_id", trace_id[:64].hex()))
    if span_id and len(span_id) != 8:
        members.append(member("log.original_span_id", span_id[:64].hex()))
    trace = trace_id if len(trace_id) == 16 and any(trace_id) else b""
    span = span_id if len(span_id) == 8 and any(span_id) else b""
    return trace, b"".join((
        _LENGTH.pack(16) + trace if trace else _NULL,
        _LENGTH.pack(8) + span if span else _NULL,
        _SHORT.pack(2, record.flags & 0xFF) if record.flags else _NULL,
    ))  # fmt: skip # one column a line
