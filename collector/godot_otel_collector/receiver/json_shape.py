"""The shape of OTLP's JSON: what ParseDict reads without a word though it is none.

It takes a text or a list for an empty object, leaves out a level or status that it does
not know, decodes what is no base64, and of two names of a field keeps one. So objects
are walked by their descriptors before it gets them; what comes out has known fields
alone, by their names in JSON, with ids in base64 as protobuf's JSON has them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from godot_otel_collector.receiver.malformed import MALFORMED, Malformed

Object = dict[str, Any]
_Read = TypeVar("_Read")
_Descriptor = Any  # protobuf has classes of its own for each backend
_IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
"""Fields in hex, which other bytes are not, and their lengths."""
_INT32 = 2**31
_DEEPEST = 4  # for each step what is malformed is parsed again


class Shape:
    """One object, walked; *originals* says which fields of a record may be none.

    They are then in *moved*, by the attribute that is to have them. Without it, what is
    walked is a resource or a scope, whose list was taken out.
    """

    def __init__(self, originals: Mapping[str, str] | None = None) -> None:
        self.moved: dict[str, str] = {}
        self.remark = ""
        """The first thing that a client should know though nothing is malformed."""
        self._whole = originals is not None
        self._originals = originals or {}

    def of(self, tree: Any, kind: _Descriptor, path: str = "") -> Object:
        """Return what ParseDict is to make a message of *kind* of.

        Raises:
            Malformed: with the path to what is.
        """
        if not isinstance(tree, dict):
            such = ', such as {"stringValue": "..."}' if kind.name == "AnyValue" else ""
            raise Malformed(f"{path or 'it'} is no object{such}")
        fields, made = fields_of(kind), {}
        for name, value in tree.items():
            field = fields.get(name)
            if field is None or value is None:
                continue
            place = f"{path}.{field.json_name}" if path else field.json_name
            if field.json_name in made:
                raise Malformed(f"{place} is there by two names")
            if field.is_repeated:
                made[field.json_name] = self._list(value, field, place)
            elif (one := self._one(value, field, place)) is not None:
                made[field.json_name] = one
        if (path or self._whole) and tree and not tree.keys() & fields.keys():
            self.say(f"{path or 'it'} has no field that is known, and is empty now")
        return made

    def say(self, remark: str) -> None:
        """Keep the first *remark*."""
        self.remark = self.remark or remark

    def _list(self, value: Any, field: FieldDescriptor, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise Malformed(f"{path} is no list")
        return [self._one(one, field, f"{path}[{n}]") for n, one in enumerate(value)]

    def _one(self, value: Any, field: FieldDescriptor, path: str) -> Any:
        if field.message_type:
            return self.of(value, field.message_type, path)
        if field.enum_type:
            number = _number(value, field.enum_type)
            return self._moved(value, path, "number of OTLP's", number)
        if field.type != field.TYPE_BYTES:
            return value
        if field.json_name in _IDS:
            return self._id(value, _IDS[field.json_name], path)
        if not _is_base64(value):
            raise Malformed(f"{path} is no base64")
        return value

    def _id(self, value: Any, size: int, path: str) -> str | None:
        """An id in base64; None where it becomes an attribute."""
        raw = self._moved(value, path, "hex", _hex(value))
        if raw is None:
            return None
        if len(raw) not in (0, size) and (original := self._originals.get(path)):
            self.say(f"{path} has not {size} bytes: see {original}")
        return base64.b64encode(raw).decode()

    def _moved(
        self, value: Any, path: str, due: str, read: _Read | None
    ) -> _Read | None:
        """Return *read*, made of *value*; where that is None, *value* is moved."""
        if read is not None:
            return read
        original = self._originals.get(path)
        if original is None:
            raise Malformed(f"{path} is no {due}")
        self.moved[original] = value if isinstance(value, str) else json.dumps(value)
        self.say(f"{path} is no {due}: see {original}")
        return None


@cache
def fields_of(kind: _Descriptor) -> dict[str, FieldDescriptor]:
    """The fields of a message by both of their names."""
    return {
        name: field for field in kind.fields for name in (field.name, field.json_name)
    }


def _number(value: Any, kind: _Descriptor) -> int | None:
    """A value of an enum, whether the protocol has a name for it or not."""
    if isinstance(value, str):
        named = kind.values_by_name.get(value)
        number = named.number if named else _whole(value)
    else:
        whole = isinstance(value, int | float) and not isinstance(value, bool)
        number = int(value) if whole and value % 1 == 0 else None
    return None if number is None or not -_INT32 <= number < _INT32 else number


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= 10 else None


def _hex(value: Any) -> bytes | None:
    """The bytes of hex without white space between; None for what is none."""
    try:
        raw = bytes.fromhex(value)
    except (TypeError, ValueError):
        return None
    return raw if len(value) == 2 * len(raw) else None


def _is_base64(value: Any) -> bool:
    """Whether it is, of either alphabet; protobuf's JSON may leave its padding out."""
    try:
        plain = value.translate({45: 43, 95: 47}).rstrip("=")
        base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (AttributeError, ValueError):
        return False
    return True


def fill(message: Message, shape: Object) -> None:
    """Fill *message* from what a Shape made.

    Raises:
        Malformed: with the path to what is.
    """
    try:
        ParseDict(shape, message)
    except MALFORMED:
        raise _Unfit(shape, message.DESCRIPTOR) from None


class _Unfit(Malformed):
    """Says which field it is; to find it costs more than to parse what is sound."""

    def __str__(self) -> str:
        shape, kind = self.args
        return f"{_blame(shape, kind) or 'it'} is malformed"


def _blame(shape: Object, kind: _Descriptor, path: str = "", depth: int = 0) -> str:
    """The path to the first field that ParseDict does not take by itself."""
    for name, value in shape.items():
        field = fields_of(kind)[name]
        if _fits({name: value}, kind):
            continue
        place = f"{path}.{name}" if path else name
        if not field.message_type or depth == _DEEPEST:
            return place
        for n, one in enumerate(value if field.is_repeated else [value]):
            if not _fits(one, field.message_type):
                own = f"{place}[{n}]" if field.is_repeated else place
                return _blame(one, field.message_type, own, depth + 1)
    return path


def _fits(shape: Object, kind: _Descriptor) -> bool:
    try:
        ParseDict(shape, GetMessageClass(kind)())
    except MALFORMED:
        return False
    return True
