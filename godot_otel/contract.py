"""The wire contract: what a batch is on its way through the queue, and its id.

``exporters/README.md`` states it for every language. Nothing of Redis is needed here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

CONTRACT = b"1"
MAX_BATCH_BYTES = 4 * 1024 * 1024  # packed and unpacked
ENCODINGS = (b"", b"gzip")


def batch_id(now_ms: int | None = None) -> bytes:
    """Mint a batch's id: a UUIDv7 (RFC 9562, 5.7) as 16 bytes.

    Must be minted once, before the first attempt to send, and kept ever after. Ids of
    one millisecond sort by the quarter of a microsecond (6.2, method 3).
    """
    now_ns = time.time_ns() if now_ms is None else now_ms * 1_000_000
    milliseconds, rest = divmod(now_ns, 1_000_000)
    random = bytearray(os.urandom(8))
    random[0] = 0x80 | random[0] & 0x3F
    within = 0x7000 | rest * 4096 // 1_000_000
    return milliseconds.to_bytes(6, "big") + within.to_bytes(2, "big") + bytes(random)


def derived_id(milliseconds: int, digest: bytes) -> bytes:
    """Make a batch's id from what it holds, for one whose sender mints none.

    A UUIDv7 as well: *milliseconds*, then *digest*, a hash of 10 bytes.
    """
    rest = bytearray(digest)
    rest[0] = 0x70 | rest[0] & 0x0F
    rest[2] = 0x80 | rest[2] & 0x3F
    return milliseconds.to_bytes(6, "big") + bytes(rest)


@dataclass(frozen=True, slots=True)
class Entry:
    """One batch on its way through the queue."""

    id: bytes
    signal: bytes
    records: int
    payload: bytes
    encoding: bytes = b""
    source: bytes = b""
    home: int = 0
    dead: bytes = b""
    """Why the payload, no OTLP, is a dead letter from the start."""

    def fields(self) -> list[bytes]:
        """The entry's fields and values, alternating, as the contract has them."""
        return [
            b"v", CONTRACT, b"id", self.id, b"home", b"%d" % self.home,
            b"signal", self.signal, b"records", b"%d" % self.records,
            b"encoding", self.encoding, b"source", self.source,
            b"payload", self.payload, *([b"dead", self.dead] if self.dead else []),
        ]  # fmt: skip # a field beside its value


Fields = Mapping[bytes, bytes]
Delivered = tuple[bytes, Fields]
"""A stream id and the entry's fields, as they came."""


def stream_milliseconds(stream_id: bytes) -> int:
    """The queue's clock when it admitted an entry, in Unix milliseconds."""
    return int(stream_id.partition(b"-")[0])
