"""Spans into rows of ``spans``, and their exceptions into rows of ``logs``."""

from __future__ import annotations

import struct
from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet

from godot_otel.errors import PermanentError
from godot_otel_collector import exceptions, span_parts
from godot_otel_collector.attributes import (
    SPAN_TRUNCATED,
    TRUNCATED,
    Attributes,
    member,
)
from godot_otel_collector.batch import Batch, Row, Rows, SpanRow, SpanRows
from godot_otel_collector.log_records import keep_templates
from godot_otel_collector.packing import EPOCH, LENGTH, NULL, beginning, count, packed
from godot_otel_collector.sharing import Shared, Sharing
from godot_otel_collector.values import MAX_ATTRIBUTE_BYTES, clean
from godot_otel_collector.wire import Span, UsualSpansRequest, WholeSpan

MAX_NAME_BYTES = 1024

# The columns' lengths and values in their order.
_BEGINNING = beginning(24)
_ROOT = struct.Struct(">18sqihiq34shihii i16si8si")
_CHILD = struct.Struct(">18sqihiq34shihii i16si8si8s")
_NO_TRACE_ID, _NO_SPAN_ID = bytes(16), bytes(8)
_LONGEST = 2**63 - 1
_UNUSUAL = NULL * 5  # nothing dropped, no status message, no trace state


class SpanRecords:
    """Makes the rows of batches of spans."""

    def __init__(self, sharing: Sharing, attributes: Attributes) -> None:
        self._templates = sharing.templates
        self._operations = sharing.operations
        self._attributes = attributes
        self._parse = attributes.parse
        self._known = attributes.known.get
        self._statuses = span_parts.Statuses()
        self._spans: list[SpanRow] = []
        self._rows: list[Row] = []

    def begin(self, batch: Batch) -> Any:
        """Parse the payload into a request; forget what is left of the last one."""
        self._spans, self._rows = [], []
        return UsualSpansRequest.FromString(batch.payload)

    def finish(self, batch: Batch) -> None:
        """Give the batch its rows."""
        batch.spans, batch.rows = SpanRows.of(self._spans), Rows.of(self._rows)
        keep_templates(batch)

    def add(self, batch: Batch, shared: Shared, span: Span, ordinal: int) -> None:
        """Make the row of one span, and those of its exceptions.

        Written out in one piece: this runs once a span, and most of what it could call
        would cost more than it does.

        Raises:
            PermanentError: the span has no ids, without which nothing is one.
        """
        trace_id, span_id, parent_id = span.trace_id, span.span_id, span.parent_span_id
        if (
            len(trace_id) != 16
            or len(span_id) != 8
            or trace_id == _NO_TRACE_ID
            or span_id == _NO_SPAN_ID
        ):
            raise PermanentError("a span without a valid trace id and span id")
        members: list[bytes] = []
        pairs: list[bytes] = []
        fell = 0
        known, parse = self._known, self._parse
        for raw in span.attributes[:]:  # a list is walked faster
            json, pair, noted = known(raw) or parse(raw)
            members.append(json)
            pairs.append(pair)
            if noted:
                fell += noted[2]
                if noted[0] in (TRUNCATED, SPAN_TRUNCATED):
                    fell += noted[1] if noted[1].__class__ is int else 0
        start, end = span.start_time_unix_nano, span.end_time_unix_nano
        duration = end - start
        if not 0 <= duration <= _LONGEST or not start:
            members.append(member("span.original_end_time", end))
            duration = 0
        time, nanos = start // 1000, start % 1000
        if not shared.earliest <= time <= shared.latest:
            members.append(member("span.original_time", start))
            time, nanos = shared.received, 0
        kind = span.kind
        if not 0 <= kind <= 5:
            members.append(member("span.original_kind", kind))
            kind = 0
        raw = span.status
        status, message = self._statuses.known.get(raw) or self._statuses.parse(raw)
        if not 0 <= status <= 2:
            members.append(member("span.original_status", status))
            status = 0
        name = span.name
        operation = shared.operations.get((name, kind)) or self._operations.find(
            shared.origin[0], shared.names, name, kind, MAX_NAME_BYTES
        )
        if len(name) > MAX_NAME_BYTES:
            fell += len(name) - len(operation.name)
        flags = span.flags
        if flags > 0x7FFFFFFF:
            flags -= 0x1_0000_0000
        if parent_id and parent_id != _NO_SPAN_ID and len(parent_id) == 8:
            head = _CHILD.pack(
                _BEGINNING, time - EPOCH, 2, nanos, 8, duration, shared.ids, kind,
                2, status, 4, flags, 16, trace_id, 8, span_id, 8, parent_id,
            )  # fmt: skip # a column's length beside its value
        else:
            if parent_id and len(parent_id) != 8:
                members.append(member("span.original_parent_id", parent_id[:64].hex()))
            head = _ROOT.pack(
                _BEGINNING, time - EPOCH, 2, nanos, 8, duration, shared.ids, kind,
                2, status, 4, flags, 16, trace_id, 8, span_id, -1,
            )  # fmt: skip # as above
        text, rest, events, links = operation.name, _UNUSUAL, NULL, NULL
        rows: list[Row] = []
        if message or len(UnknownFieldSet(span)):
            whole = WholeSpan.FromString(span.SerializeToString())
            if message:
                fell += max(0, len(message) - MAX_ATTRIBUTE_BYTES)
                message = clean(message[:MAX_ATTRIBUTE_BYTES])
                text += b"\n" + message
            if whole.events:
                told = span_parts.events(whole.events, self._attributes)
                events, fell = told.packed, fell + told.fell
                text = b"\n".join((text, *told.texts))
                rows = [
                    exceptions.row(batch, shared, self._templates, span, one, ordinal)
                    for one in told.exceptions
                ]
            if whole.links:
                links, lost = span_parts.links(whole.links, self._attributes)
                fell += lost
            state = whole.trace_state
            rest = b"".join((
                count(whole.dropped_attributes_count),
                count(whole.dropped_events_count), count(whole.dropped_links_count),
                packed(message) if message else NULL,
                packed(clean(state[:MAX_ATTRIBUTE_BYTES])) if state else NULL,
            ))  # fmt: skip # in the order of columns.SPANS
        if fell:
            members.append(member(SPAN_TRUNCATED, fell))
        json = b"\x01{%b}" % b",".join(members)  # 1 is jsonb's version
        row = b"".join((
            head, shared.names, operation.packed, rest,
            LENGTH.pack(len(json)) + json if members else NULL,
            events, links,
        ))  # fmt: skip # in the order of columns.SPANS
        ended = time + duration // 1000
        if ended > shared.latest:
            ended = shared.latest
        self._spans.append((
            time, row, shared.origin, text, pairs, ordinal, trace_id,
            ended, duration, status == 2, operation.key,
        ))  # fmt: skip # in the order of SpanRows
        if rows:
            self._rows += rows
