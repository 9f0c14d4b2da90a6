"""Log records into rows of ``logs``."""

from __future__ import annotations

import struct
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from godot_otel import words
from godot_otel_collector.attributes import TRUNCATED, Attributes, member
from godot_otel_collector.batch import Batch, Row, Rows
from godot_otel_collector.call_sites import SETTLED, Variant
from godot_otel_collector.packing import (
    EPOCH,
    LENGTH,
    NULL,
    SHORT,
    beginning,
    count,
    packed,
    packed_json,
)
from godot_otel_collector.sharing import Shared, Sharing
from godot_otel_collector.templates import GIVEN, LINE, OTHER, PATH, alike
from godot_otel_collector.values import clean, dumps, json_value, text
from godot_otel_collector.wire import LogsRequest, Record

MAX_BODY_BYTES = 64 * 1024

# The columns' lengths and values in their order; _USUAL goes on to trace_flags.
BEGINNING = beginning(22)
FIXED = struct.Struct(">18sqihiq34sh")
_USUAL = struct.Struct(">18sqihiq34sh iqih i16si8sih")
_OBSERVED = struct.Struct(">iqih")
_TEMPLATE_AT = 36  # where the template's id is in a packed row
_NO_TRACE_ID, _NO_SPAN_ID = bytes(16), bytes(8)
_LATEST = 9_000_000_000_000_000_000  # nanoseconds; beyond the year 2255 is no clock
# The text that says no more than the number does.
_LEVELS = (b"TRACE", b"DEBUG", b"INFO", b"WARN", b"ERROR", b"FATAL")
_USUAL_TEXT = (b"", *(name for name in _LEVELS for _ in range(4)))


class LogRecords:
    """Makes the rows of batches of logs."""

    def __init__(self, sharing: Sharing, attributes: Attributes) -> None:
        self._templates = sharing.templates
        self._parse = attributes.parse
        self._known = attributes.known.get
        self._rows: list[Row] = []
        self._young: list[tuple[int, Shared, Variant]] = []

    def begin(self, batch: Batch) -> Any:
        """Parse the payload into a request; forget what is left of the last one."""
        self._rows, self._young = [], []
        return LogsRequest.FromString(batch.payload)

    def finish(self, batch: Batch) -> None:
        """Give the batch its rows, and lines of new call sites what all of the batch
        made of their templates."""
        batch.rows = Rows.of(self._rows)
        again = keep_templates(batch)
        for place, shared, variant in () if again else self._young:
            service, logger = shared.origin[0], shared.logger
            named = self._templates.find(service, logger, b"", variant.text)
            batch.templates[named[0]] = named[1]
            _name(batch.rows, place, named[0])

    def add(self, batch: Batch, shared: Shared, record: Record, ordinal: int) -> None:
        """Make the row of one record.

        Written out in one piece: this runs once a record, and most of what it could
        call would cost more than it does.
        """
        members: list[bytes] = []
        pairs: list[bytes] = []
        special: dict[str, Any] = {}
        fell = 0
        known, parse = self._known, self._parse
        for raw in record.attributes[:]:  # a list is walked faster
            json, pair, noted = known(raw) or parse(raw)
            members.append(json)
            pairs.append(pair)
            if noted:
                special[noted[0]] = noted[1]
                fell += noted[2]
        nanoseconds = record.time_unix_nano or record.observed_time_unix_nano
        time, nanos = nanoseconds // 1000, nanoseconds % 1000
        if not shared.earliest <= time <= shared.latest:
            if nanoseconds:
                members.append(member("log.original_time", nanoseconds))
            time, nanos = shared.received, 0
        body, body_data = record.body, NULL
        size = len(body)
        if 1 < size < 130 and body[0] == 0x0A and body[1] == size - 2:
            body = body[2:]  # as ``_body`` would, which is another call
            if 0 in body or not body.isascii():
                body = clean(body)
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
                batch.templates[template_id] = template
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
            and span_id != _NO_SPAN_ID
        ):
            head = _USUAL.pack(
                BEGINNING, time - EPOCH, 2, nanos, 8, template_id, shared.ids, severity,
                8, observed // 1000 - EPOCH, 2, observed % 1000,
                16, trace_id, 8, span_id, 2, record.flags & 0xFF,
            )  # fmt: skip # a column's length beside its value
        else:
            trace_id, trace = _trace(record, members)
            fixed = FIXED.pack(
                BEGINNING, time - EPOCH, 2, nanos, 8, template_id, shared.ids, severity
            )
            head = fixed + _observed(observed) + trace
        dropped, level = record.dropped_attributes_count, record.severity_text
        event = record.event_name
        json = b"\x01{%b}" % b",".join(members)  # 1 is jsonb's version
        row = b"".join((
            head,
            count(dropped) if dropped else NULL,
            NULL if level == _USUAL_TEXT[severity] else packed(clean(level[:64])),
            shared.names, shared.packed_logger,
            packed(clean(event[:1024])) if event else NULL,
            LENGTH.pack(len(body)), body,
            body_data,
            LENGTH.pack(len(json)) + json if members else NULL,
        ))  # fmt: skip # in the order of columns.LOGS
        self._rows.append((
            time, row, shared.origin,
            _searchable(body, special) if special else body, pairs, ordinal,
            trace_id or None, severity, template_id,
        ))  # fmt: skip # in the order of Rows
        if young is not None:
            self._young.append((len(self._rows) - 1, shared, young))


def keep_templates(batch: Batch) -> bool:
    """Give rows that are made again the templates of the first time: those are what the
    store was told. Says whether they are."""
    again = len(batch.template_ids) == len(batch.rows)
    for place, template_id in enumerate(batch.template_ids if again else ()):
        _name(batch.rows, place, template_id)
    return again


def _name(rows: Rows, place: int, template_id: int) -> None:
    if rows.templates[place] != template_id:
        rows.templates[place] = template_id
        row, start = rows.packed[place], _TEMPLATE_AT
        named = template_id.to_bytes(8, "big", signed=True)
        rows.packed[place] = row[:start] + named + row[start + 8 :]


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
            return clean(raw[start:]), NULL
    value = AnyValue.FromString(raw)
    if value.WhichOneof("value") == "string_value":
        return clean(value.string_value.encode()), NULL
    plain = json_value(value)
    data = dumps(plain)
    whole = packed_json(data) if len(data) <= MAX_BODY_BYTES else NULL
    return (b"" if plain is None else data), whole


def _observed(nanoseconds: int) -> bytes:
    if not 0 < nanoseconds < _LATEST:
        return NULL + NULL
    return _OBSERVED.pack(8, nanoseconds // 1000 - EPOCH, 2, nanoseconds % 1000)


def _trace(record: Record, members: list[bytes]) -> tuple[bytes, bytes]:
    """Trace id, span id and flags, packed; a malformed id moves to an attribute."""
    trace_id, span_id = record.trace_id, record.span_id
    if not trace_id and not span_id and not record.flags:
        return b"", NULL * 3
    if trace_id and len(trace_id) != 16:
        members.append(member("log.original_trace_id", trace_id[:64].hex()))
    if span_id and len(span_id) != 8:
        members.append(member("log.original_span_id", span_id[:64].hex()))
    trace = trace_id if len(trace_id) == 16 and any(trace_id) else b""
    span = span_id if len(span_id) == 8 and any(span_id) else b""
    spanned = trace and span  # then flags of 0 say that it is not sampled
    return trace, b"".join((
        LENGTH.pack(16) + trace if trace else NULL,
        LENGTH.pack(8) + span if span else NULL,
        SHORT.pack(2, record.flags & 0xFF) if record.flags or spanned else NULL,
    ))  # fmt: skip # one column a line
