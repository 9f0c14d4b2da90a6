"""How every client of the queue's server is set up, and what its errors become."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from godot_otel.errors import RetryableError


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
