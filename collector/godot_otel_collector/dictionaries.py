"""What many records share: the content and stable id of resources and scopes."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from godot_otel_collector.templates import stable_id
from godot_otel_collector.values import clean, cut_value, dumps, json_object, text

Entry = tuple[int, tuple[Any, ...]]
"""An id, and the other columns."""


def _attributes(pairs: Any) -> dict[str, Any]:
    return {key: cut_value(value)[0] for key, value in json_object(pairs).items()}


def resource(raw: bytes, schema_url: bytes) -> Entry:
    """The row of ``resources`` for a Resource message.

    Raises:
        DecodeError: it is none.
    """
    message = Resource.FromString(raw)
    attributes = _attributes(message.attributes)
    environment = attributes.get("deployment.environment.name") or attributes.get(
        "deployment.environment", ""
    )
    service = text(str(attributes.get("service.name") or "unknown_service"))
    version = text(str(attributes.get("service.version", "")))
    data, url = dumps(attributes), clean(schema_url)
    dropped = message.dropped_attributes_count & 0x7FFFFFFF
    return stable_id(data, url, b"%d" % dropped), (
        service[:255], text(str(environment))[:255], version[:255], data.decode(),
        url.decode(), dropped,
    )  # fmt: skip # in the order of the table


def scope(raw: bytes, schema_url: bytes) -> Entry:
    """The row of ``scopes`` for an InstrumentationScope message.

    Raises:
        DecodeError: it is none.
    """
    message = InstrumentationScope.FromString(raw)
    data, url = dumps(_attributes(message.attributes)), clean(schema_url)
    name, version = text(message.name)[:1024], text(message.version)
    dropped = message.dropped_attributes_count & 0x7FFFFFFF
    scope_id = stable_id(name.encode(), version.encode(), data, url, b"%d" % dropped)
    return scope_id, (name, version, data.decode(), url.decode(), dropped)
