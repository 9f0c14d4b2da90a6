"""A dead letter as far as it decodes: somebody must find out what is wrong with it."""

from __future__ import annotations

import base64
import itertools
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import DecodeError

from godot_otel_collector import letter_records
from godot_otel_collector.wire import Group, Record, Scope

FOREIGN = "unknown"
"""The signal of what was no entry of the contract."""
_GZIP = b"\x1f\x8b"  # an OTLP request cannot begin with these: no such field exists


@dataclass(frozen=True, slots=True)
class Letter:
    """One row of ``dead_letters``."""

    batch_id: uuid.UUID
    ordinal: int
    home: int
    signal: str
    reason: str
    at: datetime
    payload: bytes

    @property
    def name(self) -> str:
        """How it is named on the command line: ID/ORDINAL."""
        return f"{self.batch_id}/{self.ordinal}"

    @property
    def packed(self) -> bool:
        """Whether the payload is packed, because it could not be unpacked."""
        return self.payload.startswith(_GZIP)

    @property
    def sendable(self) -> bool:
        """Whether there is a batch in it; of a packed one nobody can say."""
        return self.signal != FOREIGN and (self.packed or self.count() > 0)

    @property
    def service(self) -> str:
        """The service of its first record; empty where that cannot be read."""
        return next((found["service"] for found in self.records()), "")

    def count(self) -> int:
        """How many records the payload holds, as far as it decodes."""
        return sum(1 for _ in self._parts())

    def records(self) -> Iterator[dict[str, Any]]:
        """What of each record can be read; ``undecodable`` names what cannot."""
        for group, scope, record in self._parts():
            yield letter_records.shown(self.signal, group, scope, record)

    def _parts(self) -> Iterable[tuple[Group, Scope, Record]]:
        try:
            request = letter_records.requests(self.signal).FromString(self.payload)
        except DecodeError:
            return
        for group in request.groups:
            for scope in group.scopes:
                for record in scope.records:
                    yield group, scope, record

    def as_json(self) -> dict[str, Any]:
        """What a list shows of it."""
        return {
            "id": str(self.batch_id),
            "ordinal": self.ordinal,
            "time": self.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "reason": self.reason,
            "service": self.service,
            "signal": self.signal,
            "bytes": len(self.payload),
        }

    def as_whole_json(self, most_records: int) -> dict[str, Any]:
        """All of it: the records, at most *most_records*, and the payload's bytes."""
        return {
            **self.as_json(),
            "home": self.home,
            "records": list(itertools.islice(self.records(), most_records)),
            "payload": base64.b64encode(self.payload).decode(),
        }
