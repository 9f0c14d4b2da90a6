"""How dead letters look to people; every text of theirs is somebody else's."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from godot_otel.query import age
from godot_otel.query.sanitize import block, shorten
from godot_otel.query.sanitize import line as plain
from godot_otel.query.sanitize import value as cleaned
from godot_otel_collector.batch import WHOLE
from godot_otel_collector.letter import FOREIGN, Letter

_MOST_RECORDS = 5
_MOST_CHARACTERS = 8000
_HEX_BYTES = 256
_HEX_ROW = 16


def counted(number: int) -> str:
    """Write a number of dead letters."""
    return f"{number:,} dead letter{'' if number == 1 else 's'}"


def size(count: int) -> str:
    """Write a number of bytes."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def table(found: Sequence[Letter]) -> None:
    """Print a line for each letter."""
    if found:
        title = f"{'age':>4}  {'size':>8}  {'id/ordinal':<39}  {'service':<16}  reason"
        coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        print(f"\x1b[2m{title}\x1b[0m" if coloured else title)
    now = datetime.now(UTC)
    for one in found:
        service = _short(one.service, 16) or "-"
        print(
            f"{age(now - one.at):>4}  {size(len(one.payload)):>8}  {one.name:<39}"
            f"  {service:<16}  {_short(one.reason, 120)}"
        )


def whole(one: Letter) -> None:
    """Print all of one letter: why, its records as far as they decode, its bytes."""
    when = f"{one.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    print(f"{one.name}  {plain(one.reason)}")
    print(f"  set aside  {when}, {age(datetime.now(UTC) - one.at)} ago")
    print(f"  what       {_what(one)}, {size(len(one.payload))}")
    records = one.count()
    if not records:
        print("  nothing of it decodes")
    for record in itertools.islice(one.records(), _MOST_RECORDS):
        _record(record)
    if records > _MOST_RECORDS:
        print(f"  ... {records - _MOST_RECORDS:,} records more (--json)")
    _bytes(one.payload)


def _what(one: Letter) -> str:
    if one.signal == FOREIGN:
        return "an entry that is no batch of ours, as it came"
    if one.ordinal == WHOLE:
        return f"a whole batch of {plain(one.signal)}"
    return f"record {one.ordinal} of its batch of {plain(one.signal)}"


def _record(record: dict[str, Any]) -> None:
    print("  record")
    for name, said in record.items():
        if said in (None, "", [], {}):
            continue
        if name == "undecodable":
            print(f"    {name:<11} {', '.join(said)}")
        elif isinstance(said, str):
            first, *more = block(shorten(said, _MOST_CHARACTERS))
            print(f"    {name:<11} {first}")
            for text in more:  # indented, none can pose as a line of ours
                print(f"{'':16}{text}")
        else:
            text = json.dumps(cleaned(said), ensure_ascii=False)
            print(f"    {name:<11} {plain(shorten(text, _MOST_CHARACTERS))}")


def _bytes(payload: bytes) -> None:
    """Print the first bytes, in hex and as far as they are ASCII that prints."""
    print("  bytes")
    for start in range(0, min(len(payload), _HEX_BYTES), _HEX_ROW):
        row = payload[start : min(start + _HEX_ROW, _HEX_BYTES)]
        text = "".join(chr(c) if 32 <= c < 127 else "." for c in row)
        print(f"    {start:04x}  {row.hex(' '):<{3 * _HEX_ROW}} {text}")
    if len(payload) > _HEX_BYTES:
        print(f"    ... {len(payload) - _HEX_BYTES:,} bytes more (--raw)")


def _short(text: str, most: int) -> str:
    shown = plain(text)
    return shown if len(shown) <= most else shown[: most - 1] + "…"
