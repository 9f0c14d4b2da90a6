"""Bodies into OTLP requests; a bad record costs itself, not its neighbours."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError, Message
from starlette.exceptions import HTTPException

from godot_otel_collector.receiver import otlp_json
from godot_otel_collector.receiver.answers import Encoding
from godot_otel_collector.receiver.malformed import MALFORMED, Malformed, why
from godot_otel_collector.receiver.parsed import Parsed
from godot_otel_collector.receiver.signals import LOGS, Signal
from godot_otel_collector.wire import Whole


def parse(data: bytes, encoding: Encoding, signal: Signal = LOGS) -> Parsed:
    """Parse a body.

    Raises:
        HTTPException: 400 no request of this signal, 413 too many records.
    """
    try:
        if encoding is Encoding.JSON:
            found = otlp_json.parse(data, signal)
        else:
            found = _from_protobuf(data, signal)
        if found.problem and not found.records and not found.rejected:
            raise Malformed(found.problem)
        return found
    except MALFORMED as error:
        name = signal.request.DESCRIPTOR.name
        raise HTTPException(
            400, f"the body is no {name} as {encoding}: {why(error)}"
        ) from None


def _from_protobuf(data: bytes, signal: Signal) -> Parsed:
    whole = Whole.FromString(data)
    scopes = [scope for group in whole.groups for scope in group.scopes]
    records = sum(len(scope.records) for scope in scopes)
    found = Parsed(signal)
    found.bound(len(whole.groups) + len(scopes) + records)
    try:
        found.request.ParseFromString(data)
    except DecodeError:
        return _one_by_one(whole, signal)
    if not all(signal.sound(record) for _, _, record in signal.each(found.request)):
        return _one_by_one(whole, signal)
    found.records = records
    return found


def _one_by_one(whole: Any, signal: Signal) -> Parsed:
    """Parse each part by itself: a text that is no UTF-8 spoils the whole message.

    A resource or scope that does is rejected with the records that are of it.
    """
    # In place: what is appended is parsed again, a level deeper than by itself.
    found = Parsed(signal)
    for i, group in enumerate(whole.groups):
        target = signal.groups(found.request).add()
        try:
            target.schema_url = group.schema_url.decode()
            target.resource.ParseFromString(group.resource)
        except MALFORMED as error:
            signal.groups(found.request).pop()
            lost = sum(len(scope.records) for scope in group.scopes)
            found.reject(lost, f"{signal.place(i)}.resource", error)
            continue
        for j, scope in enumerate(group.scopes):
            inner = signal.scopes(target).add()
            try:
                inner.schema_url = scope.schema_url.decode()
                inner.scope.ParseFromString(scope.scope)
            except MALFORMED as error:
                signal.scopes(target).pop()
                place = f"{signal.place(i, j)}.scope"
                found.reject(len(scope.records), place, error)
                continue
            for k, raw in enumerate(scope.records):
                found.add(inner, (i, j, k), _fill, raw)
    return found


def _fill(record: Message, raw: bytes) -> str:
    record.ParseFromString(raw)
    return ""
