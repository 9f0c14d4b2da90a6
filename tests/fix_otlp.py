"""Batches as the exporters make them, for tests of what comes after."""

import itertools
import time
from collections.abc import Iterable, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from godot_otel import queue

_ids = itertools.count(1)


def request(
    bodies: Iterable[str | LogRecord],
    *,
    service: str = "shop",
    logger: str = "shop.cart",
    trace_id: bytes = b"",
    severity: int = 9,
    attributes: dict[str, str | int] | None = None,
    time_ns: int | None = None,
    environment: str = "test",
) -> ExportLogsServiceRequest:
    message = ExportLogsServiceRequest()
    group = message.resource_logs.add()
    for key, value in (
        ("service.name", service),
        ("service.version", "1.4.2"),
        ("deployment.environment.name", environment),
    ):
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_logs.add()
    scope.scope.name = logger
    now = time.time_ns() if time_ns is None else time_ns
    for offset, body in enumerate(bodies):
        record = scope.log_records.add()
        if isinstance(body, LogRecord):
            record.CopyFrom(body)
            continue
        record.time_unix_nano = now + offset
        record.observed_time_unix_nano = now + offset
        record.severity_number = severity
        record.severity_text = ("INFO", "ERROR")[severity >= 17]
        record.body.string_value = body
        if trace_id:
            record.trace_id = trace_id
            record.span_id = next(_ids).to_bytes(8, "big")
            record.flags = 1
        for key, value in (attributes or {}).items():
            slot = record.attributes.add(key=key).value
            if isinstance(value, int):
                slot.int_value = value
            else:
                slot.string_value = value
    return message


def entry(bodies: Sequence[str | LogRecord], **options: object) -> queue.Entry:
    message = request(bodies, **options)
    return queue.Entry(
        queue.batch_id(), b"logs", len(bodies), message.SerializeToString()
    )
