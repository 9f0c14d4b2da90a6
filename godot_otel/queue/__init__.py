"""The queue between applications and collectors: Redis Streams, by the wire contract.

``exporters/README.md`` states the contract for every language. One entry is one batch:
an OTLP request with an id minted once. Producers are synchronous (they live in other
people's threads), collectors asynchronous.

Every reply is read in RESP2 shape; clients never retry by themselves, because a retry
after a lost reply is a decision about duplicates (a second XADD) or about losing sight
of an entry (a second XREADGROUP returns the next one).
"""

from __future__ import annotations

from godot_otel.contract import (
    CONTRACT,
    ENCODINGS,
    MAX_BATCH_BYTES,
    Delivered,
    Entry,
    Fields,
    batch_id,
    derived_id,
    stream_milliseconds,
)
from godot_otel.queue.client import (
    options,
    unreachable,
)
from godot_otel.queue.keys import (
    DEFAULT_MAX_BYTES,
    DEFAULT_MAX_RECORDS,
    GROUP,
    board_keys,
    instances_key,
    levels_key,
    meta_key,
    stream_key,
)
from godot_otel.queue.producer import (
    Admitted,
    Producer,
)
from godot_otel.queue.shard import (
    Arrival,
    Depth,
    Queue,
)

__all__ = [
    "CONTRACT",
    "DEFAULT_MAX_BYTES",
    "DEFAULT_MAX_RECORDS",
    "ENCODINGS",
    "GROUP",
    "MAX_BATCH_BYTES",
    "Admitted",
    "Arrival",
    "Delivered",
    "Depth",
    "Entry",
    "Fields",
    "Producer",
    "Queue",
    "batch_id",
    "board_keys",
    "derived_id",
    "instances_key",
    "levels_key",
    "meta_key",
    "options",
    "stream_key",
    "stream_milliseconds",
    "unreachable",
]
