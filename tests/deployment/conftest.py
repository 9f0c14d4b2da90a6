"""A folder as deploy/secrets.sh leaves it, and its queue server."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fix_compose
import pytest
import redis
from fix_serving import free_port
from redis.backoff import NoBackoff
from redis.retry import Retry

from godot_otel.stack.valkey import _binary


@pytest.fixture(scope="session")
def folder(server_folder: Path) -> Path:
    """compose.yaml and what it needs, with passwords."""
    made = server_folder / "deployment"
    made.mkdir()
    shutil.copytree(fix_compose.CHECKOUT / "deploy", made / "deploy")
    shutil.copy(fix_compose.CHECKOUT / "compose.yaml", made)
    (made / "deploy/users.acl").unlink(missing_ok=True)
    subprocess.run([made / "deploy/secrets.sh"], check=True, capture_output=True)
    return made


@pytest.fixture(scope="session")
def services(folder: Path) -> dict[str, Any]:
    return fix_compose.services(folder)


@contextmanager
def queue_server(
    folder: Path, services: dict[str, Any], program: Path | str
) -> Iterator[int]:
    """Run *program* with the arguments of compose.yaml; give its port."""
    named, *arguments = services["valkey"]["command"]
    assert named == "valkey-server"
    users = str(folder / "deploy/users.acl")
    arguments = [users if a == "/etc/valkey/users.acl" else a for a in arguments]
    port, data = free_port(), folder / Path(program).name
    data.mkdir()
    here = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(data)]
    with (data / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, *arguments, *here], env={"LC_ALL": "C"}, stdout=log, stderr=log
        )
    try:
        _wait(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(20)


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    client = redis.Redis(port=port, retry=Retry(NoBackoff(), 0))
    for _ in range(200):
        try:
            client.ping()
        except redis.AuthenticationError:
            return
        except redis.ConnectionError:
            assert server.poll() is None
            time.sleep(0.05)
    raise AssertionError("the queue's server lets anybody in, or nobody")


@pytest.fixture(scope="session")
def queue_port(folder: Path, services: dict[str, Any]) -> Iterator[int]:
    """Where the queue's server listens."""
    with queue_server(folder, services, _binary()) as port:
        yield port


@pytest.fixture(scope="session")
def redis_port(folder: Path, services: dict[str, Any]) -> Iterator[int]:
    """The same of the system's Redis, where there is one."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip(
            "no redis-server is here; the file of users is tried on Valkey alone"
        )
    with queue_server(folder, services, program) as port:
        yield port


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> Path:
    """The folder of the ``godot-otel`` that the images' commands run."""
    chosen = request.config.getoption("--programs")
    return Path(chosen or Path(sys.executable).parent)


@pytest.fixture(scope="session")
def urls(services: dict[str, Any], queue_port: int) -> dict[str, str]:
    """The queue's URL of each of its users."""
    found = {}
    for service in services.values():
        url = (service.get("environment") or {}).get("GODOT_REDIS_URL")
        if url:
            user = url.partition("//")[2].partition(":")[0]
            found[user] = url.replace("valkey:6379", f"127.0.0.1:{queue_port}")
    assert set(found) == {"producer", "collector", "reader"}
    return found
