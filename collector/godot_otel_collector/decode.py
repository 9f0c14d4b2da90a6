"""Turns an entry of the queue into a batch of rows, packed for COPY.

A bad record costs that record: what can be mended is mended here (NUL, sizes, clocks,
malformed ids), what cannot becomes a dead letter with its reason.
"""

from __future__ import annotations

from array import array
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from godot_otel import contract
from godot_otel.errors import PermanentError
from godot_otel_collector import entry, salvage
from godot_otel_collector.attributes import Attributes
from godot_otel_collector.batch import LOGS, TRACES, WHOLE, Batch, DeadLetter
from godot_otel_collector.log_records import LogRecords
from godot_otel_collector.sharing import Shared, Sharing
from godot_otel_collector.span_records import SpanRecords
from godot_otel_collector.wire import Group, Record, Scope


class _Records(Protocol):
    """Makes the rows of one signal."""

    def begin(self, batch: Batch) -> Any:
        """Parse the payload into a request; forget what is left of the last one."""

    def add(self, batch: Batch, shared: Shared, record: Record, ordinal: int) -> None:
        """Make the rows of one record, or raise having made none."""

    def finish(self, batch: Batch) -> None:
        """Give the batch its rows."""


class Decoder:
    """Decodes entries; keeps what is the same from one batch to the next."""

    def __init__(self, *, retention_days: int) -> None:
        self._sharing = Sharing(retention_days=retention_days)
        attributes = Attributes()
        self._records: dict[str, _Records] = {
            LOGS: LogRecords(self._sharing, attributes),
            TRACES: SpanRecords(self._sharing, attributes),
        }

    @property
    def floor(self) -> int:
        """Microseconds: what is older has no partition now, as it is being dropped."""
        return self._sharing.floor

    @floor.setter
    def floor(self, moment: int) -> None:
        self._sharing.floor = moment

    def decode(self, delivery: contract.Delivered) -> Batch:
        """Decode one entry.

        A batch that is no OTLP at all comes back with one dead letter and no rows.

        Raises:
            UnknownContractError: version, signal or encoding is not known here.
        """
        batch = entry.envelope(delivery)
        if not batch.dead:
            self.fill(batch)
        return batch

    def fill(self, batch: Batch) -> None:
        """Make the rows of a batch, and its dead letters, from its payload."""
        batch.clear_rows()
        batch.dead = []
        records = self._records[batch.signal]
        ordinal = 0
        try:
            request = records.begin(batch)
            for group in request.groups:
                for scope in group.scopes:
                    ordinal = self._scope(records, batch, group, scope, ordinal)
        except DecodeError:
            batch.dead = [DeadLetter(WHOLE, "no OTLP request", batch.payload)]
        if not ordinal and batch.records and not batch.dead:
            # Bytes of anything may parse as a message of fields that nobody knows.
            batch.dead = [DeadLetter(WHOLE, "no records in the request", batch.payload)]
        records.finish(batch)
        batch.template_ids = array("q", batch.rows.templates)

    def _scope(
        self, records: _Records, batch: Batch, group: Group, scope: Scope, ordinal: int
    ) -> int:
        """Add the records of a scope; return the ordinal of the next one's first."""
        try:
            shared = self._sharing.of(batch, group, scope)
        except DecodeError:
            batch.dead += _undecodable(group, scope, ordinal)
            return ordinal + len(scope.records)
        add = records.add
        for record in scope.records:
            try:
                add(batch, shared, record, ordinal)
            except (
                DecodeError,
                ValueError,
                RecursionError,
                PermanentError,
            ) as error:
                payload = salvage.request(group, scope, [record.SerializeToString()])
                batch.dead.append(DeadLetter(ordinal, _reason(error), payload))
            ordinal += 1
        return ordinal


def _reason(error: Exception) -> str:
    if isinstance(error, PermanentError):
        return str(error)
    return f"undecodable: {type(error).__name__}"


def _undecodable(group: Group, scope: Scope, ordinal: int) -> list[DeadLetter]:
    """One letter for all records of a scope: each would hold the resource again."""
    if not scope.records:
        return []
    records = [record.SerializeToString() for record in scope.records]
    payload = salvage.request(group, scope, records)
    return [DeadLetter(ordinal, "undecodable resource or scope", payload)]
