"""How every client of the queue's server is set up, and what its errors become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import Encoder  # type: ignore[attr-defined] # imported there
from redis.retry import Retry

from godot_otel.errors import RetryableError

_encode: Callable[[Any], bytes] = Encoder(  # type: ignore[no-untyped-call] # theirs
    "utf-8", "strict", decode_responses=False
).encode


class OnePiece:
    """Packs a command into one piece, however large: RESP's array of bulk strings.

    The client's own packer makes three of a batch. Each time one is sent, the thread
    that sends it waits for the interpreter again, up to 5 ms where others are busy.
    """

    def pack(self, *arguments: Any) -> list[bytes]:
        """Pack *arguments*, the first of which is a command of one or more words."""
        words = [*_encode(arguments[0]).split(), *map(_encode, arguments[1:])]
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            parts += b"$%d\r\n" % len(word), word, b"\r\n"
        return [b"".join(parts)]


def options(connect_timeout: float, socket_timeout: float) -> dict[str, Any]:
    """Return the options that every client of the queue's server has."""
    return {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": connect_timeout,
        "socket_timeout": socket_timeout,
        "client_name": "godot-otel",
    }


def unreachable(error: Exception) -> RetryableError:
    """Turn a Redis client's error into ours; the text never holds the URL."""
    if isinstance(error, redis.AuthenticationError):
        return RetryableError("the queue refused the user or password")
    return RetryableError(f"the queue cannot be used: {type(error).__name__}")
