"""What the queue's keys and constants are called, by the wire contract."""

from __future__ import annotations

GROUP = "collectors"
DEFAULT_MAX_BYTES = 512 * 1024 * 1024
DEFAULT_MAX_RECORDS = 5_000_000


def stream_key(shard: int = 0) -> str:
    """Name the stream of *shard*; the braces are a Redis Cluster hash tag."""
    return f"godot:{{{shard}}}:batches"


def meta_key(shard: int = 0) -> str:
    """Name the hash with contract version, limits and counters of *shard*."""
    return f"godot:{{{shard}}}:meta"


def levels_key(shard: int = 0) -> str:
    """Name the hash of levels that hold for a while."""
    return f"godot:{{{shard}}}:levels"


def instances_key(shard: int = 0) -> str:
    """Name the hash of running processes and the levels they have applied."""
    return f"godot:{{{shard}}}:instances"


def board_keys(shard: int = 0) -> list[str]:
    """Name the keys that every script of ``godot_otel.levels`` takes."""
    return [levels_key(shard), instances_key(shard), meta_key(shard)]
