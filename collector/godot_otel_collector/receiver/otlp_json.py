"""OTLP's JSON into requests, read with patience where nothing is gained by refusing.

Ids are hex where protobuf's JSON has base64, and unknown fields are ignored, OTLP says
(specification, OTLP, "JSON Protobuf Encoding"). Beyond it: fields may have their names
of the protocol's files, ``trace_id`` for ``traceId``; lone surrogates, which
JavaScript's strings may hold, become ``?``, and bytes that are no UTF-8 U+FFFD.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from google.protobuf.message import Message

from godot_otel_collector.receiver import json_shape
from godot_otel_collector.receiver.json_shape import Object, Shape, fields_of
from godot_otel_collector.receiver.malformed import MALFORMED, Malformed
from godot_otel_collector.receiver.parsed import Parsed
from godot_otel_collector.receiver.signals import Signal
from godot_otel_collector.values import loads

_ORIGINALS = {
    "logs": {
        "traceId": "log.original_trace_id",
        "spanId": "log.original_span_id",
        "severityNumber": "log.original_severity",
    },
    "traces": {
        "parentSpanId": "span.original_parent_id",
        "kind": "span.original_kind",
        "status.code": "span.original_status",
    },
}
"""What the collector calls what does not fit: an attribute, and the record stays."""


def parse(data: bytes, signal: Signal) -> Parsed:
    """Parse a body.

    Raises:
        ValueError, RecursionError: it is no request; see malformed.py.
        HTTPException: 413 too many records.
    """
    try:
        tree = loads(data)
    except UnicodeDecodeError:
        tree = loads(data.decode("utf-8", "replace").encode())
    if not isinstance(tree, dict):
        raise Malformed("it is no object")
    found = Parsed(signal)
    groups = _list(found, tree, 0, "it")
    found.bound(len(groups))
    for i, group in enumerate(groups):
        _group(found, i, group)
    return found


def _group(found: Parsed, i: int, group: Any) -> None:
    """Add what is of one resource; with a resource that is bad nothing of it."""
    signal, scopes = found.signal, []
    target = signal.groups(found.request).add()
    try:
        scopes = _list(found, group, 1, signal.place(i))
        _fill(found, target, group, signal.place(i))
    except MALFORMED as error:
        signal.groups(found.request).pop()
        found.reject(_records(signal, scopes), signal.place(i), error)
        return
    found.bound(len(scopes))
    for j, scope in enumerate(scopes):
        _scope(found, target, (i, j), scope)


def _scope(found: Parsed, target: Any, at: tuple[int, int], scope: Any) -> None:
    """Add what is of one scope; with a scope that is bad nothing of it."""
    signal, records = found.signal, []
    inner = signal.scopes(target).add()
    try:
        records = _list(found, scope, 2, signal.place(*at))
        _fill(found, inner, scope, signal.place(*at))
    except MALFORMED as error:
        signal.scopes(target).pop()
        found.reject(len(records), signal.place(*at), error)
        return
    found.bound(len(records))
    fill = partial(_fill_record, _ORIGINALS[signal.name])
    for k, record in enumerate(records):
        found.add(inner, (*at, k), fill, record)


def _list(found: Parsed, tree: Any, level: int, place: str) -> list[Any]:
    """Take a list out of *tree*, which is at *place*; empty where there is none."""
    if not isinstance(tree, dict):
        raise Malformed("it is no object")
    name = found.signal.names[level]
    given = [tree.pop(one) for one in _both(found.signal, level) if one in tree]
    part = (found.signal.request, found.signal.group, found.signal.scope)[level]
    if not given and tree.keys() - fields_of(part.DESCRIPTOR).keys():
        found.remark(f"{place} has no {name}: nothing of it was taken")
    there = [one for one in given if one is not None]
    if len(there) > 1:
        raise Malformed(f"{name} is there by two names")
    if not there:
        return []
    if not isinstance(there[0], list):
        raise Malformed(f"{name} is no list")
    return there[0]


def _both(signal: Signal, level: int) -> set[str]:
    return {signal.names[level], signal.fields[level]}


def _records(signal: Signal, scopes: list[Any]) -> int:
    """How many records scopes have, as far as can be seen."""
    held = [
        scope[name]
        for scope in scopes
        if isinstance(scope, dict)
        for name in _both(signal, 2) & scope.keys()
    ]
    return sum(len(records) for records in held if isinstance(records, list))


def _fill(found: Parsed, message: Message, tree: Object, place: str) -> None:
    shape = Shape()
    json_shape.fill(message, shape.of(tree, message.DESCRIPTOR))
    if shape.remark:
        found.remark(f"{place}: {shape.remark}")


def _fill_record(originals: Mapping[str, str], record: Any, tree: Any) -> str:
    shape = Shape(originals)
    json_shape.fill(record, shape.of(tree, record.DESCRIPTOR))
    for key, text in shape.moved.items():
        record.attributes.add(key=key).value.string_value = text
    return shape.remark
