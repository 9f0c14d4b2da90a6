"""What the records of one scope of one resource have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from godot_otel import contract
from godot_otel_collector import dictionaries
from godot_otel_collector.batch import Batch, Origin
from godot_otel_collector.calendar import DAY
from godot_otel_collector.dictionaries import Entry
from godot_otel_collector.operations import Operation, Operations
from godot_otel_collector.packing import IDS, packed
from godot_otel_collector.templates import Named, Templates
from godot_otel_collector.wire import Group, Scope


@dataclass(slots=True)
class Shared:
    """What the records of one scope of one resource share."""

    received: int
    """Microseconds of the queue's clock, as the next two."""
    earliest: int
    latest: int
    """Records of a time outside these get the time they were received."""
    ids: bytes
    """``packing.IDS``."""
    origin: Origin
    logger: str
    names: bytes
    """environment and service, packed."""
    packed_logger: bytes
    templates: dict[bytes, Named]
    """Templates of the logger's lines, as far as they are known."""
    operations: dict[tuple[bytes, int], Operation]
    """Operations of the service's spans, as far as they are known."""


class Sharing:
    """Finds what records share; known resources and scopes by their bytes."""

    def __init__(self, *, retention_days: int) -> None:
        self._retention = retention_days * DAY
        self.templates = Templates()
        self.operations = Operations()
        self._resources: dict[tuple[bytes, bytes], Entry] = {}
        self._scopes: dict[tuple[bytes, bytes], Entry] = {}
        self.floor = 0
        """Microseconds: what is older has no partition now, as it is being dropped."""

    def of(self, batch: Batch, group: Group, scope: Scope) -> Shared:
        """Return what the records of *scope* share, and note in *batch* what is named.

        Raises:
            DecodeError: the resource or the scope is none.
        """
        raw = (group.resource, group.schema_url)
        resource = self._resources.get(raw)
        if resource is None:
            _bound(self._resources)
            resource = self._resources[raw] = dictionaries.resource(*raw)
        raw = (scope.scope, scope.schema_url)
        fields = self._scopes.get(raw)
        if fields is None:
            _bound(self._scopes)
            fields = self._scopes[raw] = dictionaries.scope(*raw)
        (resource_id, about), (scope_id, of) = resource, fields
        batch.resources[resource_id], batch.scopes[scope_id] = about, of
        service, environment, logger = about[0], about[1], of[0]
        received = contract.stream_milliseconds(batch.stream_id) * 1000
        names = packed(environment.encode()) + packed(service.encode())
        return Shared(
            received,
            max(received - self._retention, self.floor),
            received + DAY,
            IDS.pack(8, resource_id, 8, scope_id, 2, batch.home, 2),
            (service, environment),
            logger,
            names,
            packed(logger.encode()),
            self.templates.of(service, logger),
            self.operations.of(names),
        )


def _bound(cache: dict[Any, Any]) -> None:
    if len(cache) >= 10_000:
        cache.clear()
