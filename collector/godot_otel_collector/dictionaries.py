"""What many records share: the content and stable id of resources and scopes."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs

from godot_otel_collector.templates import stable_id
from godot_otel_collector.values import cut_values, dumps, json_object
from godot_otel_collector.values import text as clean


def resource(group: ResourceLogs) -> tuple[int, tuple[Any, ...]]:
    """The id and the row of ``resources`` for the resource of *group*."""
    attributes = json_object(group.resource.attributes)
    cut_values(attributes)
    environment = attributes.get("deployment.environment.name") or attributes.get(
        "deployment.environment", ""
    )
    data = dumps(attributes)
    dropped = group.resource.dropped_attributes_count & 0x7FFFFFFF
    url = clean(group.schema_url)
    resource_id = stable_id(data, url.encode(), b"%d" % dropped)
    service = clean(str(attributes.get("service.name") or "unknown_service"))
    version = clean(str(attributes.get("service.version", "")))
    return resource_id, (
        resource_id, service[:255], clean(str(environment))[:255], version[:255],
        data.decode(), url, dropped,
    )  # fmt: skip # in the order of the table


def scope(scope_logs: ScopeLogs) -> tuple[int, tuple[Any, ...]]:
    """The id and the row of ``scopes`` for the scope of *scope_logs*."""
    attributes = json_object(scope_logs.scope.attributes)
    cut_values(attributes)
    data, url = dumps(attributes), clean(scope_logs.schema_url)
    name, version = clean(scope_logs.scope.name)[:1024], clean(scope_logs.scope.version)
    dropped = scope_logs.scope.dropped_attributes_count & 0x7FFFFFFF
    scope_id = stable_id(
        name.encode(), version.encode(), data, url.encode(), b"%d" % dropped
    )
    return scope_id, (scope_id, name, version, data.decode(), url, dropped)
