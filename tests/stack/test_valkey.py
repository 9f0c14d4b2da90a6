import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from godot_otel.errors import GodotError
from godot_otel.stack.valkey import Valkey


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    valkey = Valkey(tmp_path / "with space" / "valkey")
    valkey.start()
    yield valkey
    valkey.stop()


def test_it_answers_once_start_returns_and_is_set_up_to_keep_everything(valkey):
    with redis.Redis.from_url(valkey.url) as client:
        assert client.ping()
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {
            "maxmemory-policy": "noeviction"
        }
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_nobody_gets_in_without_the_password(valkey):
    with (
        redis.Redis(port=valkey.port, retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_the_password_is_in_no_process_list_and_no_readable_file(valkey):
    listed = subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout
    assert valkey.password not in listed
    for name in ("valkey.conf", "keys.json"):
        assert (valkey.directory / name).stat().st_mode & 0o777 == 0o600


def test_what_it_acknowledged_survives_kill_9(valkey):
    with redis.Redis.from_url(valkey.url) as client:
        for number in range(100):
            client.xadd("stream", {"n": number})
    os.kill(valkey.pid, signal.SIGKILL)
    valkey.process.wait()
    assert not valkey.alive()
    assert valkey.pid is None
    valkey.start()
    with redis.Redis.from_url(valkey.url) as client:
        assert client.xlen("stream") == 100


def test_a_taken_port_is_named_by_its_last_words(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        valkey = Valkey(tmp_path, port=port)
        with pytest.raises(GodotError, match=f"Valkey ended while starting.*{port}"):
            valkey.start()
