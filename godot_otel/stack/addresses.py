"""Where everything is reached: for children, for state.json and, bare, for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict


@dataclass(frozen=True, slots=True, repr=False)
class Addresses:
    """The addresses of the servers, passwords included."""

    redis_url: str
    postgres_dsn: str
    postgres_writer_dsn: str
    postgres_reader_dsn: str

    def environ(self) -> dict[str, str]:
        """Return the settings that lead our programs to the servers."""
        return {f"GODOT_{name.upper()}": url for name, url in asdict(self).items()}

    def state(self) -> dict[str, Any]:
        """Return these addresses as state.json has them."""
        return asdict(self)


def bare_redis(url: str) -> str:
    """Return a Redis URL without user, password and options."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}"


def bare_postgres(dsn: str) -> str:
    """Return a Postgres URL that psql takes, without its password."""
    try:
        facts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return "postgresql://"
    known = {name: facts.get(name) for name in ("user", "host", "port", "dbname")}
    user = f"{known['user']}@" if known["user"] else ""
    host = str(known["host"] or "")
    if host.startswith("/"):
        return f"postgresql://{user}/{known['dbname']}?host={host}"
    port = f":{known['port']}" if known["port"] else ""
    return f"postgresql://{user}{host}{port}/{known['dbname'] or ''}"
