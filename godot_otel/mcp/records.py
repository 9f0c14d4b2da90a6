"""Lines that an agent writes, as batches of the queue.

What is wrong with one is said of that one; the others go on.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from pydantic import BaseModel, ConfigDict, ValidationError

from godot_otel import queue
from godot_otel.query.filters import FilterError, moment, severity, trace_ids
from godot_otel.redact import Redactor
from godot_otel_exporter import values

MAX_MESSAGE_BYTES = 64 * 1024
MAX_DATA_BYTES = 16 * 1024
MAX_COMPONENT = 255  # characters
LOGGER = "mcp"
_PARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Item(BaseModel):
    """One line as it was given."""

    model_config = ConfigDict(extra="forbid")

    component: str
    level: str
    message: str
    trace_id: str = ""
    span_id: str = ""
    timestamp: str = ""
    data: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Record:
    """One line as it is sent; *ordinal* is its place among those that were given."""

    ordinal: int
    component: str
    line: LogRecord


def record(
    given: Any, ordinal: int, *, parent: str, caller: str, redactor: Redactor
) -> Record:
    """Make a record of what was given, without its secrets.

    *parent* is the ``traceparent`` of the call, for a line that names no trace itself;
    one that is malformed is none. Whatever the line says, its attributes ``source`` and
    ``caller`` say whose it is.

    Raises:
        FilterError: something of it cannot be stored; the message says what.
    """
    item = _item(given)
    trace_id, span_id = _trace(item, parent)
    now = datetime.now(UTC)
    when = moment("timestamp", item.timestamp, now) if item.timestamp.strip() else now
    line = LogRecord(
        time_unix_nano=_nanoseconds(when),
        observed_time_unix_nano=time.time_ns(),
        severity_number=severity(item.level),  # type: ignore[arg-type] # an enum's number
        trace_id=trace_id,
        span_id=span_id,
    )
    values.fill_body(line.body, item.message, redactor)
    attributes = {**item.data, "source": "mcp", "caller": caller}
    values.fill_pairs(line.attributes, values.clean(attributes), redactor)
    return Record(ordinal, item.component.strip(), line)


def _item(given: Any) -> Item:
    try:
        item = Item.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))[:80]
        raise FilterError(f"{place or 'line'}: {first['msg']}") from None
    if not 0 < len(item.component.strip()) <= MAX_COMPONENT:
        raise FilterError(f"component: 1 to {MAX_COMPONENT} characters, please")
    try:
        message = len(item.message.encode())
        item.component.encode()
        data = len(orjson.dumps(item.data))
    except (UnicodeEncodeError, TypeError, RecursionError, orjson.JSONEncodeError):
        raise FilterError(
            "line: it is not valid Unicode, has a number of more than 64 bits, or is"
            " nested too deeply"
        ) from None
    if message > MAX_MESSAGE_BYTES:
        raise FilterError(f"message: {message} bytes; at most {MAX_MESSAGE_BYTES}")
    if data > MAX_DATA_BYTES:
        raise FilterError(f"data: {data} bytes of JSON; at most {MAX_DATA_BYTES}")
    return item


def _trace(item: Item, parent: str) -> tuple[bytes, bytes]:
    """The trace and span of a line: its own, else those of the call."""
    text = item.trace_id.strip() or (parent if _PARENT.fullmatch(parent) else "")
    if not text:
        if item.span_id.strip():
            raise FilterError("span_id: a span is of a trace; name its trace_id")
        return b"", b""
    found = trace_ids(text)
    if not found.whole or not found.low.int:
        raise FilterError("trace_id: write all of its 32 hex digits, or a traceparent")
    parts = text.split("-")
    span = item.span_id.strip() or (parts[2] if len(parts) == 4 else "")
    try:
        span_id = bytes.fromhex(span)
    except ValueError:
        span_id = b"?"
    if len(span_id) not in (0, 8):
        raise FilterError("span_id: write its 16 hex digits")
    return found.low.bytes, span_id


def _nanoseconds(when: datetime) -> int:
    found = (when - _EPOCH) // _MICROSECOND * 1000
    if not 0 < found < 2**63:
        raise FilterError("timestamp: it is not of 1970 to 2262, as lines are")
    return found


def entries(records: Sequence[Record]) -> list[tuple[queue.Entry, list[int]]]:
    """Make batches, each with a new id and the ordinals of its lines."""
    payload = _request(records).SerializeToString()
    if len(payload) > queue.MAX_BATCH_BYTES:  # one line alone is far below
        middle = len(records) // 2
        return [*entries(records[:middle]), *entries(records[middle:])]
    entry = queue.Entry(queue.batch_id(), b"logs", len(records), payload)
    return [(entry, [one.ordinal for one in records])]


def _request(records: Sequence[Record]) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    for component, lines in groupby(records, lambda one: one.component):
        group = request.resource_logs.add()
        name = group.resource.attributes.add(key="service.name")
        name.value.string_value = component
        scope = group.scope_logs.add()
        scope.scope.name = LOGGER
        scope.log_records.extend(one.line for one in lines)
    return request
