"""TCP ports of this machine's loopback interface."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from godot_otel import settings
from godot_otel.errors import SettingError

HOST = "127.0.0.1"


def free() -> int:
    """Return a port nobody listens on right now; someone may take it before you."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def taken(port: int) -> bool:
    """Whether *port* cannot be listened on."""
    with socket.socket() as probe:
        # As servers do: connections of the last run may linger in TIME_WAIT.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return True
    return False


def choose(asked: int | None, known: int | None, default: int, *, flag: str) -> int:
    """Return the port to use: the *asked* one, else the *known*, else the *default*.

    Asked for 0, that is the known one while it is free, else any.

    Raises:
        SettingError: it is taken.
    """
    if asked == 0:
        return known if known is not None and not taken(known) else free()
    port = asked or known or default
    if taken(port):
        raise SettingError(
            f"port {port} is taken by another program: choose another with"
            f" {flag} PORT (0 = any free one)."
        )
    return port


def of_collector(number: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ* with a health port of its own for the *number*-th, from 1."""
    port = settings.value("http_port", environ)
    own = {"GODOT_HTTP_PORT": str(port + number - 1)} if port else {}
    return {**environ, **own}
