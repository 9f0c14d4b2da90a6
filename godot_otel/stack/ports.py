"""TCP ports of this machine's loopback interface."""

from __future__ import annotations

import socket

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
