"""The way in: admits batches, and reads and writes the board of levels."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis
from redis.exceptions import RedisError, ResponseError

from godot_otel import fault, levels
from godot_otel.contract import Entry
from godot_otel.errors import QueueFullError, SettingError
from godot_otel.levels import Instance, LevelBoard
from godot_otel.queue import scripts
from godot_otel.queue.client import OnePiece, options, unreachable
from godot_otel.queue.keys import (
    DEFAULT_MAX_BYTES,
    DEFAULT_MAX_RECORDS,
    board_keys,
    instances_key,
    meta_key,
    stream_key,
)

_RUN = re.compile(rb"^run_id:(\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the queue answered when it took a batch."""

    stream_id: bytes
    level_version: int


class Producer:
    """Sends batches to the queue; synchronous, safe between threads and forks.

    Constructing it contacts nobody.
    """

    def __init__(
        self, url: str, *, connect_timeout: float = 0.5, socket_timeout: float = 2.0
    ) -> None:
        self.run: str | None = None
        """Which run of the server answered last; None while it has not said so."""
        chosen = options(connect_timeout, socket_timeout)
        chosen |= {"redis_connect_func": self._greet, "command_packer": OnePiece()}
        try:
            self._redis = redis.Redis.from_url(url, **chosen)
        except ValueError as error:
            raise SettingError(f"the queue's URL is malformed: {error}") from None
        self._admit = self._redis.register_script(scripts.ADMIT)

    def _greet(self, connection: Any) -> None:
        """Begin a connection, and learn whose it is: a restart is seen nowhere else."""
        connection.on_connect()
        try:
            connection.send_command("INFO", "server")
            facts = connection.read_response(disable_decoding=True)
        except ResponseError:  # a user who may not ask
            facts = b""
        found = _RUN.search(facts)
        self.run = found[1].decode() if found else None

    def admit(self, entry: Entry) -> Admitted:
        """Hand one batch to the queue; once it returns, the queue holds the batch.

        Raises:
            QueueFullError: the queue is at one of its limits.
            RetryableError: no answer, or none that counts. The batch may be in the
                queue all the same; send it again with the same id.
        """
        arguments: list[Any] = [
            len(entry.payload), entry.records, DEFAULT_MAX_BYTES, DEFAULT_MAX_RECORDS,
            *entry.fields(),
        ]  # fmt: skip # sizes, limits, fields
        try:
            keys = [stream_key(entry.home), meta_key(entry.home)]
            reply = cast("list[Any]", self._admit(keys=keys, args=arguments))
        except (RedisError, OSError) as error:
            raise unreachable(error) from error
        fault.point("after_xadd_sent")  # the answer is read, and nobody told
        if not reply[0]:
            raise QueueFullError(f"the queue is full ({reply[1].decode()})")
        return Admitted(reply[1], levels.version(reply[2]))

    # The level board. Each of these raises RetryableError when there is no answer.

    def level_version(self) -> int:
        """Say which version the board has; another one means: read it again."""
        try:
            found = cast(Any, self._redis.hget(meta_key(), "level_version"))
        except (RedisError, OSError) as error:
            raise unreachable(error) from error
        return levels.version(found)

    def levels(self) -> LevelBoard:
        """Read the levels that hold now, with the time each has left."""
        return levels.board(self._board(levels.READ))

    def set_level(self, target: str, level: str, ttl: float) -> int:
        """Set a level for *ttl* seconds; return the board's new version.

        *level* must be a key of ``levels.LEVELS``.
        """
        milliseconds = min(round(ttl * 1000), levels.MAX_TTL_MS)
        return int(self._board(levels.SET, target, level, milliseconds))

    def reset_level(self, target: str | None = None) -> int:
        """End one level, or all of them, before its time; return how many ended."""
        return int(self._board(levels.RESET, *([] if target is None else [target])))

    def register(self, instance: str, facts: Mapping[str, Any]) -> int:
        """Show that *instance* lives, and what it has applied; return the version.

        Must be called again within every 30 s: commands ask who is there.
        """
        text = json.dumps(dict(facts), separators=(",", ":"))
        return levels.version(self._board(levels.REGISTER, instance, text))

    def unregister(self, instance: str) -> None:
        """Forget an instance that ends."""
        try:
            self._redis.hdel(instances_key(), instance)
        except (RedisError, OSError) as error:
            raise unreachable(error) from error

    def instances(self) -> list[Instance]:
        """Read who is registered, and for how long nobody heard of each."""
        return levels.instances(self._board(levels.INSTANCES))

    def _board(self, script: str, *arguments: str | int) -> Any:
        try:
            registered = self._redis.register_script(script)
            return registered(keys=board_keys(), args=list(arguments))
        except (RedisError, OSError) as error:
            raise unreachable(error) from error

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()
