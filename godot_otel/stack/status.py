"""What runs of a data directory's stack, and how full its queue is."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from redis.exceptions import RedisError

from godot_otel import state
from godot_otel.queue import Queue
from godot_otel.stack import record
from godot_otel.stack.addresses import bare_postgres, bare_redis
from godot_otel.stack.directory import DataDirectory

QUEUE_TIMEOUT = 3.0


def status(directory: DataDirectory) -> dict[str, Any]:
    """Return what runs; addresses are without passwords.

    ``state`` is ``running``, ``starting`` (or stopping), ``killed`` when `up` is gone
    and left parts behind, or ``stopped``.
    """
    running = record.read(directory.processes)
    up = next(iter(running.pop("up", {})), None)
    known = state.read(directory.path) if up else None
    facts: dict[str, Any] = {
        "state": _state(up is not None, known is not None, bool(running)),
        "data_dir": str(directory.path),
        "pid": up,
        "pids": {name: list(pids) for name, pids in running.items()},
    }
    if known:
        facts |= {
            "redis_url": bare_redis(known["redis_url"]),
            "postgres_dsn": bare_postgres(known["postgres_dsn"]),
            "mcp_url": known["mcp_url"],
            "otlp_url": known["otlp_url"],
            "web_url": known["web_url"],
            "queue": asyncio.run(_depth(known["redis_url"])),
        }
    return facts


def _state(up: bool, published: bool, parts: bool) -> str:
    if up:
        return "running" if published else "starting"
    return "killed" if parts else "stopped"


async def _depth(url: str) -> dict[str, Any] | None:
    """Ask the queue; None when it does not answer in time."""
    queue = Queue(url)
    try:
        return asdict(await asyncio.wait_for(queue.depth(), QUEUE_TIMEOUT))
    except (RedisError, OSError, TimeoutError):
        return None
    finally:
        await queue.close()
