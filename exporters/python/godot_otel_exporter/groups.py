"""Where in a request a record belongs: by its resource and its scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from godot_otel.redact import Redactor
from godot_otel_exporter.values import clean, fill_pairs


class Groups:
    """Finds the list an item belongs into, by its resource and scope.

    By identity first: hashing a resource costs more than encoding a record.
    """

    def __init__(self, request: ExportLogsServiceRequest, redactor: Redactor) -> None:
        self._request = request
        self._redactor = redactor
        self._resources: dict[int, Any] = {}
        self._scopes: dict[tuple[int, Any], Any] = {}
        self._logs: dict[tuple[int, int], Any] = {}

    def logs_of(
        self, resource: Resource | None, scope: InstrumentationScope | None
    ) -> Any:
        """Return the repeated field the record must be added to."""
        identity = id(resource), id(scope)
        logs = self._logs.get(identity)
        if logs is None:
            # A logger with scope attributes makes an equal scope for every record.
            logs = self._logs[identity] = self._logs_in(resource, scope)
        return logs

    def _logs_in(
        self, resource: Resource | None, scope: InstrumentationScope | None
    ) -> Any:
        key = id(resource), scope
        logs = self._scopes.get(key)
        if logs is None:
            logs = self._scopes[key] = self._add_scope(resource, scope)
        return logs

    def _add_scope(
        self, resource: Resource | None, scope: InstrumentationScope | None
    ) -> Any:
        group = self._resources.get(id(resource))
        if group is None:
            group = self._request.resource_logs.add()
            fill_resource(group, resource, self._redactor)
            self._resources[id(resource)] = group
        found = group.scope_logs.add()
        fill_scope(found, scope, self._redactor)
        return found.log_records


def fill_resource(target: Any, resource: Resource | None, redactor: Redactor) -> None:
    """Fill ``ResourceLogs`` or ``ResourceSpans``, but for what is in it."""
    target.resource.SetInParent()
    if resource is not None:
        _fill(target.resource.attributes, resource.attributes, redactor)
        target.schema_url = clean(resource.schema_url or "")


def fill_scope(
    target: Any, scope: InstrumentationScope | None, redactor: Redactor
) -> None:
    """Fill ``ScopeLogs`` or ``ScopeSpans`` alike."""
    target.scope.SetInParent()
    if scope is not None:
        target.scope.name = clean(str(scope.name or ""))
        target.scope.version = clean(str(scope.version or ""))
        _fill(target.scope.attributes, scope.attributes or {}, redactor)
        target.schema_url = clean(scope.schema_url or "")


def _fill(target: Any, attributes: Mapping[str, Any], redactor: Redactor) -> None:
    try:
        fill_pairs(target, attributes, redactor)
    except Exception:
        del target[:]
        fill_pairs(target, clean(attributes), redactor)
