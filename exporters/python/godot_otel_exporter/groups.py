"""Where in a request a record or span belongs: by its resource and its scope."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from godot_otel.redact import Redactor
from godot_otel_exporter.values import clean, fill_pairs


class Groups:
    """Finds the list an item belongs into, by its resource and scope.

    By identity first: hashing a resource costs more than encoding a record.
    """

    def __init__(self, resources: Any, kind: str, redactor: Redactor) -> None:
        """Sort into *resources*, a request's field; *kind* is ``logs`` or ``spans``."""
        self._groups = resources
        self._scopes_of: Callable[[Any], Any] = attrgetter(f"scope_{kind}")
        self._items_of: Callable[[Any], Any] = attrgetter(
            "log_records" if kind == "logs" else kind
        )
        self._redactor = redactor
        self._resources: dict[int, Any] = {}
        self._scopes: dict[tuple[int, Any], Any] = {}
        self._items: dict[tuple[int, int], Any] = {}

    def items_of(
        self, resource: Resource | None, scope: InstrumentationScope | None
    ) -> Any:
        """Return the repeated field the item must be added to."""
        identity = id(resource), id(scope)
        items = self._items.get(identity)
        if items is None:
            # A logger with scope attributes makes an equal scope for every record.
            items = self._items[identity] = self._items_in(resource, scope)
        return items

    def _items_in(
        self, resource: Resource | None, scope: InstrumentationScope | None
    ) -> Any:
        key = id(resource), scope
        items = self._scopes.get(key)
        if items is None:
            items = self._scopes[key] = self._add_scope(resource, scope)
        return items

    def _add_scope(
        self, resource: Resource | None, scope: InstrumentationScope | None
    ) -> Any:
        group = self._resources.get(id(resource))
        if group is None:
            group = self._groups.add()
            group.resource.SetInParent()
            if resource is not None:
                self._fill(group.resource.attributes, resource.attributes)
                group.schema_url = clean(resource.schema_url or "")
            self._resources[id(resource)] = group
        found = self._scopes_of(group).add()
        found.scope.SetInParent()
        if scope is not None:
            found.scope.name = clean(str(scope.name or ""))
            found.scope.version = clean(str(scope.version or ""))
            self._fill(found.scope.attributes, scope.attributes or {})
            found.schema_url = clean(scope.schema_url or "")
        return self._items_of(found)

    def _fill(self, target: Any, attributes: Mapping[str, Any]) -> None:
        try:
            fill_pairs(target, attributes, self._redactor)
        except Exception:
            del target[:]
            fill_pairs(target, clean(attributes), self._redactor)
