"""The two servers of the stack: embedded, or somebody else's by their settings."""

from __future__ import annotations

from collections.abc import Mapping

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from godot_otel import settings, store
from godot_otel.errors import GodotError, SettingError
from godot_otel.queue import unreachable
from godot_otel.stack.addresses import Addresses
from godot_otel.stack.directory import DataDirectory
from godot_otel.stack.postgres import DATABASE, Postgres
from godot_otel.stack.valkey import Valkey

READER_DEFAULTS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",
}


class Servers:
    """Knows which of the two are embedded; None where they are not."""

    def __init__(
        self, directory: DataDirectory, redis_port: int, environ: Mapping[str, str]
    ) -> None:
        self._directory = directory
        self._redis_url: str | None = settings.value("redis_url", environ)
        self._postgres_dsns = settings.postgres_dsns(environ)
        keys = directory.keys
        self.valkey = None if self._redis_url else Valkey(
            directory.valkey,
            port=redis_port,
            password=keys.password("redis"),
            log=directory.log("valkey"),
        )  # fmt: skip # what is embedded reads as one line each
        self.postgres = None if self._postgres_dsns else Postgres(
            directory.postgres,
            password=keys.password("postgres"),
            log=directory.log("postgres"),
        )  # fmt: skip

    def addresses(self) -> Addresses:
        """Say where both are reached."""
        redis_url = self.valkey.url if self.valkey else self._redis_url
        assert redis_url is not None
        dsns = self._embedded_dsns() if self.postgres else self._postgres_dsns
        return Addresses(redis_url, dsns["owner"], dsns["writer"], dsns["reader"])

    def _embedded_dsns(self) -> dict[str, str]:
        assert self.postgres is not None
        keys = self._directory.keys
        roles = {
            name: self.postgres.dsn(
                user=role, password=keys.password(f"postgres_{name}")
            )
            for name, role in store.role_names(DATABASE).items()
        }
        return {"owner": self.postgres.owner_dsn, **roles}

    def create_roles(self) -> None:
        """Make the embedded writer and reader; `migrate` grants what they may."""
        assert self.postgres is not None
        for name, role in store.role_names(DATABASE).items():
            password = self._directory.keys.password(f"postgres_{name}")
            defaults = READER_DEFAULTS if name == "reader" else {}
            self.postgres.create_login(role, password, defaults)


def check_redis(url: str) -> None:
    """Raise GodotError when an external queue server does not answer."""
    try:
        client = redis.Redis.from_url(
            url,
            socket_connect_timeout=5.0,
            socket_timeout=5.0,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise SettingError(f"GODOT_REDIS_URL is malformed: {error}.") from None
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        raise GodotError(f"GODOT_REDIS_URL: {unreachable(error)}.") from None
    finally:
        client.close()
