"""The servers that may hold a queue: the embedded Valkey, and Debian's Redis 7."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
import redis


@pytest.fixture(scope="module", params=["valkey", "redis-server"])
def server(request, tmp_path_factory) -> Iterator[str]:
    if request.param == "valkey":
        yield request.getfixturevalue("valkey").url
        return
    if shutil.which("redis-server") is None:
        pytest.skip("Debian's redis-server is not installed on this machine")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = str(sock.getsockname()[1])
    process = subprocess.Popen(
        ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", ""],
        cwd=tmp_path_factory.mktemp("redis"),
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}/0"
    deadline = time.monotonic() + 10
    while True:
        try:
            with redis.Redis.from_url(url) as client:
                client.ping()
            break
        except redis.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield url
    process.terminate()
    process.wait()
