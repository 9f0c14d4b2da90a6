"""The parts of a span that most spans do not have: status, events, links."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from godot_otel import words
from godot_otel_collector.attributes import Attribute, Attributes
from godot_otel_collector.packing import NULL, packed_json
from godot_otel_collector.values import clean, dumps
from godot_otel_collector.wire import Span, Status

EXCEPTION = b"exception"
"""The name of an event that tells of one."""
_CACHED = 10_000
_CACHED_BYTES = 512  # longer ones hardly repeat
_MAX_NAME_BYTES = 1024


class Statuses:
    """Parses statuses; nearly all are one of a few. Bounded in memory."""

    def __init__(self) -> None:
        self.known: dict[bytes, tuple[int, bytes]] = {b"": (0, b"")}

    def parse(self, raw: bytes) -> tuple[int, bytes]:
        """Return code and message of one that is not in ``known`` yet.

        Raises:
            DecodeError: it is no status.
        """
        status = Status.FromString(raw)
        found = (status.code, status.message)
        if len(raw) <= _CACHED_BYTES:
            if len(self.known) >= _CACHED:
                self.known.clear()
            self.known[raw] = found
        return found


@dataclass(frozen=True, slots=True)
class Told:
    """An exception that an event of a span tells of."""

    nanoseconds: int
    members: list[bytes]
    """Its attributes as members of a JSON object."""
    pairs: list[bytes]
    values: dict[str, Any]
    """Type, message and stack trace, by the attributes' names."""


@dataclass(slots=True)
class Events:
    """The events of a span."""

    packed: bytes = NULL
    """As they are stored, in COPY's form."""
    texts: list[bytes] = field(default_factory=list)
    """What a search looks in."""
    exceptions: list[Told] = field(default_factory=list)
    """One of those with the same type and message."""
    fell: int = 0
    """How many bytes were cut off."""


def events(given: Iterable[Span], attributes: Attributes) -> Events:
    """Make what is stored of the events of a span.

    Raises:
        DecodeError: an attribute is none.
    """
    found, items = Events(), []
    seen: set[tuple[Any, Any]] = set()
    for event in given:
        parsed = _parsed(event.attributes, attributes)
        name = clean(event.name)
        if len(name) > _MAX_NAME_BYTES:
            found.fell += len(name)
            name = name[:_MAX_NAME_BYTES].decode("utf-8", "ignore").encode()
            found.fell -= len(name)
        items.append(_object([
            b'"time":%d' % event.time_unix_nano if event.time_unix_nano else b"",
            b'"name":' + dumps(name.decode()) if name else b"",
            _members(parsed),
            _dropped(event.dropped_attributes_count),
        ]))  # fmt: skip # a member a line
        found.fell += _fell(parsed)
        found.texts.append(name)
        if event.name == EXCEPTION:
            told = _told(event.time_unix_nano, parsed)
            kind = told.values.get("exception.type")
            said = told.values.get("exception.message")
            found.texts += (_text(one) for one in (kind, said) if isinstance(one, str))
            key = str(kind), str(said)
            if key not in seen:
                seen.add(key)
                found.exceptions.append(told)
    found.packed = packed_json(b"[%b]" % b",".join(items))
    return found


def links(given: Iterable[Span], attributes: Attributes) -> tuple[bytes, int]:
    """Pack the links of a span; say how many bytes were cut off.

    Raises:
        DecodeError: an attribute is none.
    """
    items, fell = [], 0
    for link in given:
        parsed = _parsed(link.attributes, attributes)
        fell += _fell(parsed)
        state = clean(link.trace_state)
        items.append(_object([
            b'"trace_id":"%b"' % link.trace_id.hex().encode(),
            b'"span_id":"%b"' % link.span_id.hex().encode(),
            b'"trace_state":' + dumps(state.decode()) if state else b"",
            b'"flags":%d' % link.flags if link.flags else b"",
            _members(parsed),
            _dropped(link.dropped_attributes_count),
        ]))  # fmt: skip # a member a line
    return packed_json(b"[%b]" % b",".join(items)), fell


def _parsed(raws: Iterable[bytes], attributes: Attributes) -> list[Attribute]:
    return [attributes.known.get(raw) or attributes.parse(raw) for raw in raws]


def _members(parsed: list[Attribute]) -> bytes:
    if not parsed:
        return b""
    return b'"attributes":{%b}' % b",".join(one.json for one in parsed)


def _dropped(number: int) -> bytes:
    return b'"dropped":%d' % number if number else b""


def _object(members: list[bytes]) -> bytes:
    return b"{%b}" % b",".join(filter(None, members))


def _fell(parsed: list[Attribute]) -> int:
    return sum(one.special[2] for one in parsed if one.special)


def _told(nanoseconds: int, parsed: list[Attribute]) -> Told:
    chosen = [
        one for one in parsed if one.special and one.special[0] in words.EXCEPTION
    ]
    values = {one.special[0]: one.special[1] for one in chosen if one.special}
    members, pairs = [one.json for one in chosen], [one.pair for one in chosen]
    return Told(nanoseconds, members, pairs, values)


def _text(value: str) -> bytes:
    return clean(value.encode())
