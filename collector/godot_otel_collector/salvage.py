"""Cuts single records out of a request, for dead letters that can be sent again."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from google.protobuf.message import DecodeError

from godot_otel_collector.wire import Group, Record, Request, Scope


def request(group: Group, scope: Scope, records: Iterable[Record]) -> bytes:
    """Make a request that holds these records, with their resource and scope."""
    message = Request()
    one = message.resource_logs.add(resource=group.resource)
    one.schema_url = group.schema_url
    inner = one.scope_logs.add(scope=scope.scope)
    inner.schema_url = scope.schema_url
    inner.log_records.extend(records)
    return bytes(message.SerializeToString())


def one(payload: bytes, ordinal: int) -> bytes:
    """Cut the record *ordinal* out of a request; the whole where there is none."""
    try:
        message = Request.FromString(payload)
    except DecodeError:
        return payload
    found = (
        request(group, scope, [record])
        for group in message.resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    )
    return next(itertools.islice(found, ordinal, None), payload)
