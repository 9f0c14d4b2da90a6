"""How one batch looks as a file of the spool.

Magic with version, CRC-32 of all else, the entry's fields at fixed places, then what
has no fixed length. A file is read whole or not at all.
"""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

from godot_otel.queue import MAX_BATCH_BYTES, Entry

SUFFIX = ".batch"
MAX_BYTES = 2 * MAX_BATCH_BYTES
"""No file of ours is larger: the payload's cap, and ample room for the source."""

_MAGIC = b"godotspool\x00\x01"  # the last byte is the format's version
_CRC = struct.Struct(">I")
# id, home, records; lengths of signal, encoding, source and payload
_FIXED = struct.Struct(">16sIQHHIQ")
HEAD_BYTES = len(_MAGIC) + _CRC.size + _FIXED.size


class DamagedError(Exception):
    """The file is torn, altered, or none of ours."""


def name(entry: Entry, size: int) -> str:
    """Name the file of a batch, which has *size* bytes.

    Names sort by age. They say how much is lost with a file that cannot be read any
    more, and spare a look at each file when sizes are added up.
    """
    return f"{entry.id.hex()}.{entry.records}.{size}{SUFFIX}"


def records_of(name: str) -> int:
    """Return how many records a file holds by its name; 0 when that is not ours."""
    return _number(name, 1) or 0


def size_of(name: str) -> int | None:
    """Return how many bytes a file has by its name; None when that is not ours."""
    return _number(name, 2)


def _number(name: str, place: int) -> int | None:
    parts = name.split(".")
    return int(parts[place]) if len(parts) == 4 and parts[place].isdecimal() else None


def pack(entry: Entry) -> bytes:
    """Return the file of *entry*."""
    tail = (entry.signal, entry.encoding, entry.source, entry.payload)
    lengths = map(len, tail)
    fixed = _FIXED.pack(entry.id, entry.home, entry.records, *lengths)
    body = b"".join((fixed, *tail))
    return b"".join((_MAGIC, _CRC.pack(zlib.crc32(body)), body))


def unpack(data: bytes) -> Entry:
    """Return the entry of a file.

    Raises:
        DamagedError: it is not exactly what was written.
    """
    entry = _parse(data, whole=True)
    checksum = _CRC.unpack_from(data, len(_MAGIC))[0]
    if zlib.crc32(memoryview(data)[len(_MAGIC) + _CRC.size :]) != checksum:
        raise DamagedError
    return entry


def head(data: bytes) -> Entry:
    """Return the entry without its payload, of a file's beginning, unchecked.

    Raises:
        DamagedError: this is no beginning of a file of ours.
    """
    return _parse(data, whole=False)


def _parse(data: bytes, *, whole: bool) -> Entry:
    if len(data) < HEAD_BYTES or not data.startswith(_MAGIC):
        raise DamagedError
    batch, home, records, *lengths = _FIXED.unpack_from(data, HEAD_BYTES - _FIXED.size)
    ends = [HEAD_BYTES]
    for length in lengths:
        ends.append(ends[-1] + length)
    if len(data) != ends[-1] if whole else len(data) < ends[-2]:
        raise DamagedError
    signal, encoding, source, payload = (
        data[start:end] for start, end in pairwise(ends)
    )
    return Entry(
        id=batch, signal=signal, records=records, payload=payload if whole else b"",
        encoding=encoding, source=source, home=home,
    )  # fmt: skip # the entry's own order
