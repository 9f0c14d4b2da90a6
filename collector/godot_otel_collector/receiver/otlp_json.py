"""OTLP's JSON into requests, read with patience where nothing is gained by refusing.

Ids are hex where protobuf's JSON has base64, and unknown fields are ignored, OTLP says
(specification, OTLP, "JSON Protobuf Encoding"). Beyond it: fields may have their names
of the protocol's files, ``trace_id`` for ``traceId``; lone surrogates, which
JavaScript's strings may hold, become ``?``, and bytes that are no UTF-8 U+FFFD.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from godot_otel_collector.receiver.malformed import Malformed
from godot_otel_collector.receiver.parsed import Parsed
from godot_otel_collector.receiver.signals import Signal
from godot_otel_collector.values import loads

_Object = dict[str, Any]
_Descriptor = Any  # of a message; protobuf has a class of its own for each backend
_IDS = {"traceId": "trace_id", "spanId": "span_id", "parentSpanId": "parent_span_id"}
_ORIGINAL = {
    "logs": {"traceId": "log.original_trace_id", "spanId": "log.original_span_id"},
    "traces": {"parentSpanId": "span.original_parent_id"},
}
"""What the collector calls an id that is none: an attribute, and the record stays."""
_LONGEST_ID = 128


def parse(data: bytes, signal: Signal) -> Parsed:
    """Parse a body.

    Raises:
        ValueError, TypeError, ParseError: it is no request; see malformed.py.
        HTTPException: 413 too many records.
    """
    try:
        tree = loads(data)
    except UnicodeDecodeError:
        tree = loads(data.decode("utf-8", "replace").encode())
    if not isinstance(tree, dict):
        raise Malformed("it is no object")
    found = Parsed(signal)
    if tree and not {signal.names[0], signal.fields[0]} & tree.keys():
        found.remark(f"there is no {signal.names[0]} in it: nothing was taken")
    fill = partial(_fill_record, _ORIGINAL[signal.name])
    for i, group in enumerate(_objects(tree, signal, 0)):
        scopes = _objects(group, signal, 1)
        target = signal.groups(found.request).add()
        _fill(target, group)
        for j, scope in enumerate(scopes):
            records = _list(scope, signal, 2)
            found.bound(len(records))
            inner = signal.scopes(target).add()
            _fill(inner, scope)
            for k, record in enumerate(records):
                found.add(inner, (i, j, k), fill, record)
    return found


def _list(tree: _Object, signal: Signal, level: int) -> list[Any]:
    """Take a list out of *tree*; empty where it is absent or null."""
    name = signal.names[level]
    other = tree.pop(signal.fields[level], None)
    found = tree.pop(name, None) or other or []
    if not isinstance(found, list):
        raise Malformed(f"{name} is no list")
    return found


def _objects(tree: _Object, signal: Signal, level: int) -> list[_Object]:
    """Take a list of objects out of *tree*."""
    found = _list(tree, signal, level)
    if not all(isinstance(one, dict) for one in found):
        raise Malformed(f"{signal.names[level]} holds what is no object")
    return found


def _fill(message: Message, tree: _Object) -> None:
    _check(tree, message.DESCRIPTOR, "")
    ParseDict(tree, message, ignore_unknown_fields=True)


def _check(tree: Any, kind: _Descriptor, path: str) -> None:
    """Refuse what is no object where one is due; ParseDict takes a text for an empty.

    Raises:
        Malformed: with the path to it.
    """
    if not isinstance(tree, dict):
        such = ', such as {"stringValue": "..."}' if kind.name == "AnyValue" else ""
        raise Malformed(f"{path} is no object{such}")
    objects = _objects_of(kind)
    for name in objects.keys() & tree.keys():
        value = tree[name]
        for one in value if isinstance(value, list) else (value,):
            if one is not None:
                _check(one, objects[name], f"{path}.{name}" if path else name)


@cache
def _objects_of(kind: _Descriptor) -> dict[str, _Descriptor]:
    """Which fields of a message are messages, by both of their names."""
    return {
        name: field.message_type
        for field in kind.fields
        if field.message_type
        for name in (field.name, field.json_name)
    }


def _fill_record(original: Mapping[str, str], record: Any, tree: Any) -> str:
    """Fill *record*; say which id became an attribute, if it is one of *original*."""
    if not isinstance(tree, dict):
        raise Malformed("it is no object")
    wrong = _unhex(tree)
    links = tree.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and (names := _unhex(link)):
            raise Malformed(f"links.{next(iter(names))} is no hex")
    _fill(record, tree)
    for name, value in wrong.items():
        if name not in original:
            raise Malformed(f"{name} is no hex")
        attribute = record.attributes.add(key=original[name])
        attribute.value.string_value = value[:_LONGEST_ID]
    return " and ".join(f"{name} is no hex: see {original[name]}" for name in wrong)


def _unhex(tree: _Object) -> dict[str, str]:
    """Turn ids into what protobuf's JSON has; take out and return those of no hex."""
    wrong = {}
    for name, other in _IDS.items():
        value = tree.pop(name, None) or tree.pop(other, None)
        if not value:
            continue
        if not isinstance(value, str):
            raise Malformed(f"{name} is no text")
        try:
            tree[name] = base64.b64encode(bytes.fromhex(value)).decode()
        except ValueError:
            wrong[name] = value
    return wrong
