"""Cuts single records out of a request, for dead letters that can be sent again."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from google.protobuf.message import DecodeError

from godot_otel_collector.wire import Group, Scope, Whole


def request(group: Group, scope: Scope, records: Iterable[bytes]) -> bytes:
    """Make a request that holds these records, with their resource and scope."""
    message = Whole()
    one = message.groups.add(resource=group.resource, schema_url=group.schema_url)
    one.scopes.add(scope=scope.scope, schema_url=scope.schema_url, records=records)
    return bytes(message.SerializeToString())


def one(payload: bytes, ordinal: int) -> bytes:
    """Cut the record *ordinal* out of a request; the whole where there is none."""
    try:
        message = Whole.FromString(payload)
    except DecodeError:
        return payload
    found = (
        request(group, scope, [record])
        for group in message.groups
        for scope in group.scopes
        for record in scope.records
    )
    return next(itertools.islice(found, ordinal, None), payload)
