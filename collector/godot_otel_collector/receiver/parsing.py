"""Bodies into OTLP requests; a bad record costs itself, not its neighbours.

JSON is OTLP's own: ids are hex where protobuf's JSON has base64, unknown fields are
ignored, and lone surrogates, which JavaScript's strings may hold, become ``?``.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from starlette.exceptions import HTTPException

from godot_otel_collector.receiver.answers import Encoding
from godot_otel_collector.receiver.signals import LOGS, Signal
from godot_otel_collector.values import loads
from godot_otel_collector.wire import Whole

MAX_RECORDS = 100_000
"""Empty records are 2 bytes in a body, and a hundred in memory."""

_Object = dict[str, Any]
# What parsers raise: json_format passes on much of what it meets inside.
_MALFORMED = (
    DecodeError, ParseError, ValueError, TypeError, AttributeError, LookupError,
    ArithmeticError, RecursionError,
)  # fmt: skip # one list


@dataclass(slots=True)
class Parsed:
    """A request, and how many of its records are not in it."""

    signal: Signal
    request: Any = field(init=False)
    records: int = 0
    rejected: int = 0

    def __post_init__(self) -> None:
        self.request = self.signal.request()


def parse(data: bytes, encoding: Encoding, signal: Signal = LOGS) -> Parsed:
    """Parse a body.

    Raises:
        HTTPException: 400 no request of this signal, 413 too many records.
    """
    try:
        if encoding is Encoding.JSON:
            return _from_json(loads(data), signal)
        return _from_protobuf(data, signal)
    except _MALFORMED:
        # Without the text of the error, which may quote the body.
        name = signal.request.DESCRIPTOR.name
        raise HTTPException(400, f"the body is no {name} as {encoding}") from None


def _bounded(records: int) -> int:
    if records > MAX_RECORDS:
        raise HTTPException(
            413, f"the body has more than {MAX_RECORDS:,} records: send smaller batches"
        )
    return records


def _from_protobuf(data: bytes, signal: Signal) -> Parsed:
    whole = Whole.FromString(data)
    found = Parsed(signal)
    found.records = _bounded(
        sum(len(scope.records) for group in whole.groups for scope in group.scopes)
    )
    try:
        found.request.ParseFromString(data)
    except DecodeError:
        return _one_by_one(whole, signal)
    if not all(signal.sound(record) for _, _, record in signal.each(found.request)):
        return _one_by_one(whole, signal)
    return found


def _one_by_one(whole: Any, signal: Signal) -> Parsed:
    """Parse each part by itself: a text that is no UTF-8 spoils the whole message.

    A resource or scope that does is rejected with the records that are of it.
    """
    found = Parsed(signal)
    for group in whole.groups:
        try:
            target = signal.group(schema_url=group.schema_url.decode())
            target.resource.ParseFromString(group.resource)
        except _MALFORMED:
            found.rejected += sum(len(scope.records) for scope in group.scopes)
            continue
        for scope in group.scopes:
            try:
                inner = signal.scope(schema_url=scope.schema_url.decode())
                inner.scope.ParseFromString(scope.scope)
            except _MALFORMED:
                found.rejected += len(scope.records)
                continue
            for raw in scope.records:
                _add(found, inner, _fill_raw, raw)
            signal.scopes(target).append(inner)
        signal.groups(found.request).append(target)
    return found


def _add(
    found: Parsed, scope: Any, fill: Callable[[Message, Any], object], source: Any
) -> None:
    """Let *fill* make a record of *scope* from *source*; what is none is rejected."""
    records = found.signal.records(scope)
    record = records.add()
    try:
        fill(record, source)
        if not found.signal.sound(record):
            raise ValueError
    except _MALFORMED:
        records.pop()
        found.rejected += 1
    else:
        found.records += 1


def _from_json(tree: Any, signal: Signal) -> Parsed:
    if not isinstance(tree, dict):
        raise TypeError
    found = Parsed(signal)
    groups_name, scopes_name, records_name = signal.names
    for group in _taken(tree, groups_name):
        scopes = _taken(group, scopes_name)
        target = signal.groups(found.request).add()
        _fill(target, group)
        for scope in scopes:
            records = _list(scope, records_name)
            _bounded(found.records + found.rejected + len(records))
            inner = signal.scopes(target).add()
            _fill(inner, scope)
            for record in records:
                _add(found, inner, _fill_record, record)
    return found


def _list(tree: _Object, name: str) -> list[Any]:
    """Take a list out of *tree*; empty where it is absent or null."""
    found = tree.pop(name, None) or []
    if not isinstance(found, list):
        raise TypeError(name)
    return found


def _taken(tree: _Object, name: str) -> list[_Object]:
    """Take a list of objects out of *tree*."""
    found = _list(tree, name)
    if not all(isinstance(one, dict) for one in found):
        raise TypeError(name)
    return found


def _fill(message: Message, tree: _Object) -> None:
    ParseDict(tree, message, ignore_unknown_fields=True)


def _fill_raw(record: Message, raw: bytes) -> None:
    record.ParseFromString(raw)


def _fill_record(record: Message, tree: Any) -> None:
    if not isinstance(tree, dict):
        raise TypeError
    for holder in (tree, *(tree.get("links") or ())):
        for name in ("traceId", "spanId", "parentSpanId"):
            if holder.get(name):
                raw = bytes.fromhex(holder[name])
                holder[name] = base64.b64encode(raw).decode()
    _fill(record, tree)
