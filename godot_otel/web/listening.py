"""Addresses that are listened on, and how a server on one is ended."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
from typing import TypeAlias

import uvicorn

from godot_otel.errors import SettingError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Socket: TypeAlias = socket.socket


def address(host: str) -> Address:
    """Read an address; raise SettingError when it is a name or nothing at all."""
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise SettingError(f"{host!r} is no address; use 127.0.0.1") from None


def is_loopback(address: Address) -> bool:
    """Whether this machine alone can reach *address*, by the names Guard knows."""
    return str(address) in ("127.0.0.1", "::1")


def listen(address: Address, port: int, *, setting: str = "--port") -> Socket:
    """Listen; raise SettingError, naming *setting*, when the port cannot be used."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((str(address), port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        raise SettingError(
            f"port {port} on {address} cannot be used"
            f" ({getattr(error, 'strerror', None) or error}); choose another with"
            f" {setting}, 0 for any free one"
        ) from None
    return listening


def url(listening: Socket) -> str:
    """Say where clients find what listens."""
    name, port = listening.getsockname()[:2]
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def stop_on_signals(server: uvicorn.Server) -> None:
    """End with status 0: uvicorn raises the signal again when it has stopped, and
    what it restored before that is this handler."""

    def stop() -> None:
        server.should_exit = True

    for name in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(RuntimeError, ValueError):  # not the main thread
            asyncio.get_running_loop().add_signal_handler(name, stop)
