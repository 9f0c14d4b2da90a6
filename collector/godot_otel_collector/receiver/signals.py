"""What is taken, and what its parts are called: logs and spans have one shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True, slots=True)
class Signal:
    """One of the signals of OTLP."""

    name: str
    """As the wire contract of the queue has it."""
    path: str
    request: Any
    """The classes of the messages."""
    group: Any
    scope: Any
    response: Any
    fields: tuple[str, str, str]
    """What resources, scopes and records are named in them."""
    names: tuple[str, str, str]
    """The same in JSON."""
    rejected: str
    """The field of an answer that counts what was not taken."""
    time: Callable[[Any], int]
    """Of a record, in nanoseconds; 0 for none."""
    sound: Callable[[Any], bool]
    """Whether a record can be one at all."""

    def groups(self, request: Any) -> Any:
        """What a request holds by resource."""
        return getattr(request, self.fields[0])

    def scopes(self, group: Any) -> Any:
        """What a resource has by scope."""
        return getattr(group, self.fields[1])

    def records(self, scope: Any) -> Any:
        """The records of a scope."""
        return getattr(scope, self.fields[2])

    def place(self, *at: int) -> str:
        """Name a part of a request by its position, as JSON has it."""
        steps = zip(self.names, at, strict=False)  # to a group, a scope or a record
        return ".".join(f"{name}[{number}]" for name, number in steps)

    def each(self, request: Any) -> Iterator[tuple[Any, Any, Any]]:
        """Every record with the resource and the scope it is of."""
        for group in self.groups(request):
            for scope in self.scopes(group):
                for record in self.records(scope):
                    yield group, scope, record


def _identified(span: Any) -> bool:
    """Without these nothing is a span, OTLP says."""
    return (
        len(span.trace_id) == 16
        and len(span.span_id) == 8
        and any(span.trace_id)
        and any(span.span_id)
    )


LOGS = Signal(
    name="logs",
    path="/v1/logs",
    request=logs_service_pb2.ExportLogsServiceRequest,
    group=logs_pb2.ResourceLogs,
    scope=logs_pb2.ScopeLogs,
    response=logs_service_pb2.ExportLogsServiceResponse,
    fields=("resource_logs", "scope_logs", "log_records"),
    names=("resourceLogs", "scopeLogs", "logRecords"),
    rejected="rejected_log_records",
    time=lambda record: record.time_unix_nano or record.observed_time_unix_nano,
    sound=lambda _: True,
)
TRACES = Signal(
    name="traces",
    path="/v1/traces",
    request=trace_service_pb2.ExportTraceServiceRequest,
    group=trace_pb2.ResourceSpans,
    scope=trace_pb2.ScopeSpans,
    response=trace_service_pb2.ExportTraceServiceResponse,
    fields=("resource_spans", "scope_spans", "spans"),
    names=("resourceSpans", "scopeSpans", "spans"),
    rejected="rejected_spans",
    time=lambda span: span.start_time_unix_nano,
    sound=_identified,
)
