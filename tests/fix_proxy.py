"""A proxy that spoils answers: the request arrives, its reply does not, or not so."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

Address = tuple[str, int] | str
"""A host and port, or the path of a Unix socket."""
WAYS = ("lost", "half", "reset", "stalled", "slow")
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST
_PIECE_BYTES, _PIECE_SECONDS, _SLOW_PIECES = 3, 0.002, 100


@dataclass(frozen=True)
class _Spoiling:
    word: bytes
    way: str
    answer: bytes


class LossyProxy:
    """Forwards to *target*; ``spoil`` arms it for the next request with a word."""

    def __init__(self, target: Address) -> None:
        self.target = target
        self.spoiled = 0
        self.stall_seconds = 1.0
        self._armed: _Spoiling | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def spoil(self, word: bytes, way: str = "lost", answer: bytes = b"") -> None:
        """Spoil the answer to the next request with *word*, once it has *answer* in it.

        It is ``lost``, or cut in ``half``, and the connection closed; the connection is
        ``reset`` instead of it; it is ``stalled``, or comes ``slow``, in small pieces.
        """
        assert way in WAYS
        self._armed = _Spoiling(word, way, answer)

    def close(self) -> None:
        self._listener.close()

    def redis_url(self, url: str) -> str:
        """The URL of a Redis, through here."""
        return url.replace(f":{urlsplit(url).port}/", f":{self.port}/")

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _connect(self) -> socket.socket:
        if isinstance(self.target, tuple):
            return socket.create_connection(self.target)
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.target)
        return server

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, self._connect() as server:
            asked: list[_Spoiling] = []
            answers = threading.Thread(
                target=self._answer, args=[server, client, asked], daemon=True
            )
            answers.start()
            with contextlib.suppress(OSError):
                while request := client.recv(1 << 20):
                    armed = self._armed
                    if armed and armed.word in request:
                        asked[:] = [armed]
                    server.sendall(request)
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            answers.join()

    def _answer(
        self, server: socket.socket, client: socket.socket, asked: list[_Spoiling]
    ) -> None:
        way = ""
        with contextlib.suppress(OSError):
            while reply := server.recv(1 << 20):
                way = self._way_of(reply, asked)
                self.spoiled += bool(way)
                if not self._pass_on(reply, client, way):
                    break
        with contextlib.suppress(OSError):
            # Only woken up, the other thread closes it, which is the reset.
            client.shutdown(socket.SHUT_RD if way == "reset" else socket.SHUT_RDWR)

    def _way_of(self, reply: bytes, asked: list[_Spoiling]) -> str:
        """How to spoil *reply*; armed until an answer fits, on whichever connection."""
        armed = self._armed
        # By identity: an earlier one with the same words was for another answer.
        if not (armed and any(one is armed for one in asked) and armed.answer in reply):
            return ""
        self._armed = None
        return armed.way

    def _pass_on(self, reply: bytes, client: socket.socket, way: str) -> bool:
        """Send *reply*, spoiled in this *way*; False to end the connection."""
        if way == "half":
            client.sendall(reply[: len(reply) // 2])
        elif way == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        elif way == "stalled":
            time.sleep(self.stall_seconds)
        elif way == "slow":
            for _ in range(_SLOW_PIECES):
                client.sendall(reply[:_PIECE_BYTES])
                reply = reply[_PIECE_BYTES:]
                time.sleep(_PIECE_SECONDS)
        if way in ("lost", "half", "reset"):
            return False
        client.sendall(reply)
        return True
