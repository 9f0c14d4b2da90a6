"""Where an exporter's batches go, and the one link that takes them there.

In: an exporter's arguments and the environment. Exporters of logs and of spans that
name the same destination share a ``link``: one thread, one connection, one instance
with one set of counters.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass, field
from pathlib import Path

from godot_otel import settings
from godot_otel.errors import SettingError
from godot_otel_exporter import lifecycle
from godot_otel_exporter.endpoint import default_spool_dir, setting, signal_setting
from godot_otel_exporter.fallback import Fallback
from godot_otel_exporter.link import Link
from godot_otel_exporter.sender import Sender
from godot_otel_exporter.spool import Spool

_OUTPUTS = ("stderr", "stdout", "none")


@dataclass(frozen=True, slots=True)
class Destination:
    """The queue, and what is there for it while it is away."""

    endpoint: str | None = field(repr=False)  # it may hold a password
    timeout: float
    spool_dir: Path
    spool_max_bytes: int
    fallback: str

    @classmethod
    def of(
        cls,
        signal: str,
        *,
        endpoint: str | None,
        timeout: float | None,
        spool_dir: str | Path | None,
        spool_max_bytes: int | None,
        fallback: str | None,
    ) -> Destination:
        """Check the arguments; what is None, the environment says.

        Raises:
            SettingError: an argument's value is malformed.
        """
        if timeout is None:
            timeout = signal_setting(signal, "timeout") / 1000
        if not isinstance(timeout, (int, float)) or not timeout > 0:
            raise SettingError(f"timeout: {timeout!r} is no number of seconds above 0")
        if spool_max_bytes is None:
            spool_max_bytes = setting("spool_max_bytes")
        if not isinstance(spool_max_bytes, int) or spool_max_bytes < 0:
            raise SettingError(
                f"spool_max_bytes: {spool_max_bytes!r} is no number of bytes"
            )
        folder = default_spool_dir() if spool_dir is None else Path(spool_dir)
        return cls(
            _checked(endpoint) or setting(f"{signal}_endpoint"),
            float(timeout),
            folder.expanduser().absolute(),
            spool_max_bytes,
            one_of("fallback", fallback or setting("fallback"), *_OUTPUTS),
        )


_links: weakref.WeakSet[Link] = weakref.WeakSet()
_joining = threading.Lock()


def link_to(destination: Destination, signal: str) -> Link:
    """Return the link to *destination*, which serves one exporter of each signal.

    It is made when there is none yet; that contacts nobody and starts no thread.
    """
    with _joining:
        for link in list(_links):
            if link.destination == destination and signal not in link.signals:
                break
        else:
            link = _new_link(destination)
        link.signals.add(signal)
        link.in_use.add(signal)
        return link


def _new_link(destination: Destination) -> Link:
    sender = Sender(
        endpoint=destination.endpoint,
        timeout=destination.timeout,
        spool=Spool(destination.spool_dir, max_bytes=destination.spool_max_bytes),
        fallback=Fallback(destination.fallback),
    )
    link = Link(sender, destination)
    lifecycle.watch(link)
    _links.add(link)
    return link


def one_of(name: str, value: str, *allowed: str) -> str:
    """Return *value*, which must be one of those allowed; SettingError otherwise."""
    if value not in allowed:
        raise SettingError(f"{name}: {value!r} is none of {', '.join(allowed)}")
    return value


def _checked(endpoint: str | None) -> str | None:
    try:
        return settings.redis_url(endpoint) if endpoint else None
    except ValueError as error:
        raise SettingError(f"endpoint: its value is no Redis URL: {error}") from None
