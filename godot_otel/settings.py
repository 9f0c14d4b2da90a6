"""Every setting in one table; help, documentation and errors are made from it.

The application's side follows OpenTelemetry's naming and counts durations in
milliseconds; the servers' side is ``GODOT_*``. Standard library only: this module is
imported inside the user's application.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from godot_otel import fault
from godot_otel.errors import SettingError

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: where a value comes from and what it means."""

    name: str
    env: str
    type: str
    default: Any
    sentence: str
    parse: Callable[[str], Any]
    secret: bool = False
    """The value may hold a password; it is never printed."""

    def value(self, environ: Mapping[str, str] | None = None) -> Any:
        """Read this setting; raise SettingError, naming it, when it is malformed."""
        raw = (os.environ if environ is None else environ).get(self.env, "").strip()
        if not raw:
            return self.default
        try:
            return self.parse(raw)
        except ValueError as error:
            shown = "its value" if self.secret else repr(raw)
            message = f"{self.env}: {shown} is no {self.type}: {error}"
            raise SettingError(message) from None


def redis_url(text: str) -> str:
    """Check the form of a Redis URL; the message never holds the URL itself."""
    example = "redis://HOST:PORT/0"
    parts = urlsplit(_url(text, ("redis", "rediss", "unix"), example))
    database = parts.path.strip("/")
    # The client takes database 0 for one that is no number, and says nothing.
    if parts.scheme != "unix" and database and not database.isdecimal():
        raise ValueError(f"expected a number of a database, as in {example}")
    return text


def postgres_dsn(text: str) -> str:
    """Check the form of a Postgres URL or keyword string."""
    if "://" not in text and "=" in text:
        return text
    example = "postgresql://USER@HOST/DATABASE"
    return _url(text, ("postgresql", "postgres"), example)


def _url(text: str, schemes: tuple[str, ...], example: str) -> str:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError(f"expected a form such as {example}") from None
    if parts.scheme not in schemes or not (parts.netloc or parts.path):
        raise ValueError(f"expected a form such as {example}")
    return text


def whole(minimum: int, maximum: int) -> Callable[[str], int]:
    """Make a parser of whole numbers in [minimum, maximum]."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError("expected a whole number") from None
        if not minimum <= number <= maximum:
            raise ValueError(f"expected {minimum} to {maximum}")
        return number

    return parse


def one_of(*names: str) -> Callable[[str], str]:
    """Make a parser of one word out of a few, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return text.lower()

    return parse


def boolean(text: str) -> bool:
    """Read ``true`` or ``false``, in any case, as OpenTelemetry has it."""
    if text.lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return text.lower() == "true"


def words(text: str) -> tuple[str, ...]:
    """Split a comma-separated list; blanks fall away."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def default_data_dir() -> Path:
    """Where the embedded servers keep their data when nobody says otherwise."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "godot-otel"


def spool_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder where batches wait while the queue is away."""
    return Path(value("spool_dir", environ) or data_dir(environ) / "spool")


def token(text: str) -> str:
    """Check a secret that is sent in a header: long, and nothing in it needs quoting.

    The message never holds the secret.
    """
    if len(text) < 16 or not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", text):
        raise ValueError("expected at least 16 of A-Z a-z 0-9 . _ ~ + / = -")
    return text


def api_url(text: str) -> str:
    """Check the URL of a server of ours; plain HTTP goes no further than this machine.

    The message never holds the URL.
    """
    example = "expected a form such as https://logs.example.com"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError(example) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in text:
        raise ValueError(example)
    if parts.query or parts.fragment:
        raise ValueError(f"{example}, with nothing behind")
    loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme == "http" and not loopback:
        raise ValueError(
            "plain http:// to another machine shows token and lines to the network;"
            " use https://"
        )
    return text.rstrip("/")


def host_names(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of host names, each with a port or without."""
    for name in words(text):
        if not re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?", name):
            raise ValueError("expected names such as logs.example.com, without http://")
    return words(text)


def address(text: str) -> str:
    """Check an address that is listened on."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("expected one such as 127.0.0.1, 0.0.0.0 or ::") from None


def list_name(text: str) -> str:
    """Check the name of a Redis list that is not one of ours."""
    if text.startswith("godot:"):
        raise ValueError("keys that begin with godot: are this project's own")
    return text


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


_BYTES = "number of bytes"
_TIMEOUT = whole(1, 3_600_000)

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "redis_url", "GODOT_REDIS_URL", "Redis URL", None,
        "The queue's server; without it, the embedded one of the data directory.",
        redis_url, secret=True,
    ),
    Setting(
        "postgres_dsn", "GODOT_POSTGRES_DSN", "Postgres URL", None,
        "The store, as the owner of its tables: migrations and maintenance.",
        postgres_dsn, secret=True,
    ),
    Setting(
        "postgres_writer_dsn", "GODOT_POSTGRES_WRITER_DSN", "Postgres URL", None,
        "The store, as the role that may only add; default: the owner's.",
        postgres_dsn, secret=True,
    ),
    Setting(
        "postgres_reader_dsn", "GODOT_POSTGRES_READER_DSN", "Postgres URL", None,
        "The store, as the role that may only read; default: the owner's.",
        postgres_dsn, secret=True,
    ),
    Setting(
        "data_dir", "GODOT_DATA_DIR", "path", None,
        "Where `up` keeps servers, data and state.json;"
        " default: ~/.local/share/godot-otel.",
        _path,
    ),
    Setting(
        "queue_max_bytes", "GODOT_QUEUE_MAX_BYTES", _BYTES, 512 * MIB,
        "The queue refuses more once it holds this many bytes of batches.",
        whole(MIB, 1 << 40),
    ),
    Setting(
        "queue_max_records", "GODOT_QUEUE_MAX_RECORDS", "number of records", 5_000_000,
        "The queue refuses more once it holds this many records.",
        whole(1000, 1 << 40),
    ),
    Setting(
        "retention_days", "GODOT_RETENTION_DAYS", "number of days", None,
        "How many days of records the store keeps, as `up` and `migrate` tell it;"
        " unset: as told before, at first 7.",
        whole(1, 3650),
    ),
    Setting(
        "retention_bytes", "GODOT_RETENTION_BYTES", _BYTES, None,
        "How many bytes the store's partitions may take before the oldest go; 0: any"
        " number; unset: as told before, at first 10 GB for the embedded store, any"
        " for another.",
        whole(0, 1 << 50),
    ),
    Setting(
        "partition", "GODOT_PARTITION", "partition width", None,
        "Width of a partition: auto (hourly up to 8 days of retention), hour or day;"
        " unset: as told before, at first auto.",
        one_of("auto", "hour", "day"),
    ),
    Setting(
        "otlp_token", "GODOT_OTLP_TOKEN", "token", None,
        "What clients must send to the OTLP receiver as `Authorization: Bearer TOKEN`;"
        " without it, it listens on loopback alone.",
        token, secret=True,
    ),
    Setting(
        "url", "GODOT_URL", "URL", None,
        "A server (`mcp --http`) that `query`, `trace`, `traces`, `patterns`,"
        " `stats` and `tail` read through instead of Postgres, and that `mcp config"
        " --http` names; https:// beyond this machine.",
        api_url,
    ),
    Setting(
        "token", "GODOT_TOKEN", "token", None,
        "What GODOT_URL is asked with, from `godot-otel token create`.",
        token, secret=True,
    ),
    Setting(
        "allowed_hosts", "GODOT_ALLOWED_HOSTS", "list of host names", (),
        "Names, with a port or without, under which others may ask `mcp --http`; needed"
        " for a --host beyond loopback, and requests to them need a token. Collectors"
        " answer to them at GODOT_HTTP_HOST.",
        host_names,
    ),
    Setting(
        "legacy_list", "GODOT_LEGACY_LIST", "name of a Redis list", None,
        "The list that clients of the original system push JSON to, `logs:queue`;"
        " collectors drain it.",
        list_name,
    ),
    Setting(
        "http_port", "GODOT_HTTP_PORT", "port", None,
        "Where a collector answers /healthz, /readyz and /metrics; the ports from here"
        " on with more workers; 0: any free one; default: nowhere.",
        whole(0, 65535),
    ),
    Setting(
        "http_host", "GODOT_HTTP_HOST", "address", "127.0.0.1",
        "The address of that port: loopback alone, or one that a Prometheus reaches."
        " Anybody who reaches it may read: counts and names of services, no lines.",
        address,
    ),
    Setting(
        "endpoint", "OTEL_EXPORTER_GODOT_ENDPOINT", "Redis URL", None,
        "The queue an application sends to; default: GODOT_REDIS_URL, then the stack"
        " of the data directory.",
        redis_url, secret=True,
    ),
    Setting(
        "timeout", "OTEL_EXPORTER_GODOT_TIMEOUT", "number of milliseconds", 10_000,
        "How long one export may take, all its attempts together.",
        _TIMEOUT,
    ),
    Setting(
        "compression", "OTEL_EXPORTER_GODOT_COMPRESSION", "compression", "none",
        "How batches are packed: none or gzip.",
        one_of("none", "gzip"),
    ),
    Setting(
        "logs_endpoint", "OTEL_EXPORTER_GODOT_LOGS_ENDPOINT", "Redis URL", None,
        "The endpoint for logs alone.",
        redis_url, secret=True,
    ),
    Setting(
        "logs_timeout", "OTEL_EXPORTER_GODOT_LOGS_TIMEOUT", "number of milliseconds",
        None, "The timeout for logs alone.", _TIMEOUT,
    ),
    Setting(
        "logs_compression", "OTEL_EXPORTER_GODOT_LOGS_COMPRESSION", "compression",
        None, "The compression for logs alone.", one_of("none", "gzip"),
    ),
    Setting(
        "traces_endpoint", "OTEL_EXPORTER_GODOT_TRACES_ENDPOINT", "Redis URL", None,
        "The endpoint for spans alone.",
        redis_url, secret=True,
    ),
    Setting(
        "traces_timeout", "OTEL_EXPORTER_GODOT_TRACES_TIMEOUT",
        "number of milliseconds", None, "The timeout for spans alone.", _TIMEOUT,
    ),
    Setting(
        "traces_compression", "OTEL_EXPORTER_GODOT_TRACES_COMPRESSION", "compression",
        None, "The compression for spans alone.", one_of("none", "gzip"),
    ),
    Setting(
        "redact_keys", "OTEL_EXPORTER_GODOT_REDACT_KEYS", "list of names", (),
        "Attribute names whose values become [REDACTED], beside the built-in ones.",
        words,
    ),
    Setting(
        "direct", "OTEL_EXPORTER_GODOT_DIRECT", "boolean", True,
        "Take log records straight from `logging` while no other log exporter or"
        " processor wants them.",
        boolean,
    ),
    Setting(
        "spool_dir", "OTEL_EXPORTER_GODOT_SPOOL_DIR", "path", None,
        "Where batches wait on disk while the queue is away; default: `spool` in the"
        " data directory.",
        _path,
    ),
    Setting(
        "spool_max_bytes", "OTEL_EXPORTER_GODOT_SPOOL_MAX_BYTES", _BYTES, 256 * MIB,
        "How many bytes may wait on disk, then the oldest batch is dropped; 0: none.",
        whole(0, 1 << 40),
    ),
    Setting(
        "fallback", "OTEL_EXPORTER_GODOT_FALLBACK", "output", "stderr",
        "Where lines go as JSON that neither queue nor disk can take: stderr, stdout"
        " or none.",
        one_of("stderr", "stdout", "none"),
    ),
)  # fmt: skip # a table reads best with a row's facts on its first lines

BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}

_OWN_PREFIXES = ("GODOT_", "OTEL_EXPORTER_GODOT_")


def value(name: str, environ: Mapping[str, str] | None = None) -> Any:
    """Read one setting by its name in the table.

    Raises:
        SettingError: the variable is set to something malformed.
    """
    return BY_NAME[name].value(environ)


def data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the data directory in force."""
    return Path(value("data_dir", environ) or default_data_dir())


def postgres_dsns(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the DSNs of owner, writer and reader; empty without an owner's DSN."""
    owner = value("postgres_dsn", environ)
    if owner is None:
        return {}
    return {
        "owner": owner,
        "writer": value("postgres_writer_dsn", environ) or owner,
        "reader": value("postgres_reader_dsn", environ) or owner,
    }


def unknown(environ: Mapping[str, str] | None = None) -> Iterable[str]:
    """Yield one sentence for each variable that looks like a setting and is none."""
    known = [*(setting.env for setting in SETTINGS), fault.VARIABLE]
    for env in sorted(os.environ if environ is None else environ):
        if env.startswith(_OWN_PREFIXES) and env not in known:
            near = difflib.get_close_matches(env, known, 1)
            hint = f", did you mean {near[0]}?" if near else ""
            yield f"{env} is no setting of godot-otel{hint or '.'}"


def check(environ: Mapping[str, str] | None = None) -> None:
    """Read every setting; raise SettingError at the first that is unknown or bad."""
    for sentence in unknown(environ):
        raise SettingError(sentence)
    for setting in SETTINGS:
        setting.value(environ)
