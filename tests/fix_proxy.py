"""A TCP proxy that loses answers: the request arrives, its reply does not."""

import contextlib
import socket
import threading


class LossyProxy:
    """Forwards to *target*; ``lose`` arms it for the next request with a word."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.lost = 0
        self._word = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, word: bytes) -> None:
        self._word = word

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.target) as server:
            losing = threading.Event()
            answers = threading.Thread(
                target=self._answer, args=[server, client, losing], daemon=True
            )
            answers.start()
            with contextlib.suppress(OSError):
                while request := client.recv(1 << 20):
                    if self._word and self._word in request:
                        self._word = b""
                        losing.set()
                    server.sendall(request)
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            answers.join()

    def _answer(
        self, server: socket.socket, client: socket.socket, losing: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while reply := server.recv(1 << 20):
                if losing.is_set():
                    self.lost += 1
                    break
                client.sendall(reply)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
