"""Columns in COPY's binary form: a length of four bytes before each value."""

from __future__ import annotations

import struct

EPOCH = 946_684_800_000_000
"""Postgres counts microseconds from 2000-01-01."""
NULL = b"\xff\xff\xff\xff"
LENGTH = struct.Struct(">i")
SHORT = struct.Struct(">ih")
"""A smallint with its length, which is 2."""
LONG = struct.Struct(">ii")
"""An integer with its length, which is 4."""
IDS = struct.Struct(">iqiqihi")
"""Ids of resource and scope, home, the length of a smallint: amid the columns of their
own, what all rows of a scope have."""
_BEGINNING = struct.Struct(">hiqi")


def beginning(columns: int) -> bytes:
    """How a row of so many columns begins: seq, which is 0, the length of its time."""
    return _BEGINNING.pack(columns, 8, 0, 8)


def packed(data: bytes) -> bytes:
    """Pack text or bytes."""
    return LENGTH.pack(len(data)) + data


def packed_json(data: bytes) -> bytes:
    """Pack JSON for a column of jsonb, whose binary form has a version before it."""
    return LENGTH.pack(len(data) + 1) + b"\x01" + data


def count(number: int) -> bytes:
    """Pack a number that mostly is 0, which becomes null."""
    return LONG.pack(4, number & 0x7FFFFFFF) if number else NULL
