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
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from godot_otel_collector.values import json_object, json_value
from godot_otel_collector.wire import Group, Record, Request, Scope

WHOLE = -1
"""The ordinal of a letter that is a whole batch."""
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
            yield _record(group, scope, record)

    def _parts(self) -> Iterable[tuple[Group, Scope, Record]]:
        try:
            request = Request.FromString(self.payload)
        except DecodeError:
            return
        for group in request.resource_logs:
            for scope in group.scope_logs:
                for record in scope.log_records:
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


def _record(group: Group, scope: Scope, record: Record) -> dict[str, Any]:
    broken: list[str] = []
    resource = _parsed(Resource, group.resource, "resource", broken)
    about = json_object(resource.attributes)
    inner = _parsed(InstrumentationScope, scope.scope, "scope", broken)
    pairs = [
        _parsed(KeyValue, raw, f"attribute {place}", broken)
        for place, raw in enumerate(record.attributes, 1)
    ]
    return {
        "time": _time(record.time_unix_nano or record.observed_time_unix_nano),
        "service": str(about.get("service.name", "")),
        "severity": record.severity_number,
        "logger": inner.name,
        "body": json_value(_parsed(AnyValue, record.body, "body", broken)),
        "trace_id": record.trace_id.hex() or None,
        "span_id": record.span_id.hex() or None,
        "attributes": json_object(pair for pair in pairs if pair.key),
        "resource": about,
        "undecodable": broken,
    }


def _parsed(message: Any, raw: bytes, name: str, broken: list[str]) -> Any:
    """The message in *raw*, or an empty one with its name in *broken*."""
    try:
        return message.FromString(raw)
    except (DecodeError, RecursionError):
        broken.append(name)
        return message()


def _time(nanoseconds: int) -> str | None:
    if not 0 < nanoseconds < 253_402_300_800 * 10**9:  # the year 10000
        return None
    whole, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
