"""Exceptions that spans tell of, as rows of ``logs``: found as any error line is.

The event itself stays with its span. Rows like these bear ``godot.span_event``, and
are no records that anybody sent.
"""

from __future__ import annotations

from godot_otel import words
from godot_otel_collector.attributes import member
from godot_otel_collector.batch import Batch, Row
from godot_otel_collector.log_records import BEGINNING, FIXED
from godot_otel_collector.packing import EPOCH, LENGTH, NULL, SHORT, packed, packed_json
from godot_otel_collector.sharing import Shared
from godot_otel_collector.span_parts import EXCEPTION, Told
from godot_otel_collector.templates import Templates
from godot_otel_collector.values import clean
from godot_otel_collector.wire import Span

MARK = "godot.span_event"
SEVERITY = 17  # ERROR
_MARKED, _MARKED_PAIR = member(MARK, True), f"{MARK}=true".encode()


def row(
    batch: Batch,
    shared: Shared,
    templates: Templates,
    span: Span,
    told: Told,
    ordinal: int,
) -> Row:
    """Make the row of one exception of *span*."""
    members = [*told.members, _MARKED]
    nanoseconds = told.nanoseconds or span.start_time_unix_nano
    time, nanos = nanoseconds // 1000, nanoseconds % 1000
    if not shared.earliest <= time <= shared.latest:
        members.append(member("log.original_time", nanoseconds))
        time, nanos = shared.received, 0
    body = _body(told)
    template_id, template = templates.find(shared.origin[0], shared.logger, body)
    batch.templates[template_id] = template
    flags = span.flags & 0xFF
    data = b"".join((
        FIXED.pack(
            BEGINNING, time - EPOCH, 2, nanos, 8, template_id, shared.ids, SEVERITY
        ),
        NULL, NULL,  # observed_time and its nanoseconds
        packed(span.trace_id), packed(span.span_id),
        SHORT.pack(2, flags) if flags else NULL,
        NULL, NULL,  # dropped_attributes, severity_text
        shared.names, shared.packed_logger,
        packed(EXCEPTION),
        LENGTH.pack(len(body)), body,
        NULL,  # body_data
        packed_json(b"{%b}" % b",".join(members)),
    ))  # fmt: skip # in the order of columns.LOGS
    return (
        time, data, shared.origin,
        clean(words.searchable(body.decode(), told.values).encode()),
        [*told.pairs, _MARKED_PAIR],
        ordinal, span.trace_id, SEVERITY, template_id,
    )  # fmt: skip # in the order of Rows


def _body(told: Told) -> bytes:
    """``Type: message``, or which of the two there is."""
    said = (told.values.get(f"exception.{name}") for name in ("type", "message"))
    found = ": ".join(str(one) for one in said if one not in (None, ""))
    return clean(found.encode()) or EXCEPTION
