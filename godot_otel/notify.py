"""Tells whoever started this process that it is ready (sd_notify(3)).

The embedded stack listens for it, and so does systemd with ``Type=notify``.
"""

from __future__ import annotations

import os
import socket


def ready() -> None:
    """Send ``READY=1`` to NOTIFY_SOCKET; do nothing when there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # systemd writes abstract addresses with an @
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.sendall(b"READY=1")
