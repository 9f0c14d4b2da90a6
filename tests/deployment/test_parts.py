"""What compose.yaml starts works together: the images' own commands, by their users.

Postgres, Valkey and the parts are processes of this machine; see ``fix_compose``.
"""

import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fix_compose
import psycopg
import pytest
import redis
from fix_compose import CHECKOUT, Image, Part
from fix_otlp import entry, request
from fix_processes import wait_until
from fix_serving import free_port

from godot_otel import queue
from godot_otel.stack.postgres import Postgres

OURS = ("migrate", "collector", "receiver", "mcp")


@pytest.fixture(scope="module")
def image(programs: Path) -> Image:
    return Image(CHECKOUT / "collector/Dockerfile", programs)


@pytest.fixture(scope="module")
def server(folder: Path, services: dict[str, Any]) -> Iterator[Postgres]:
    """Postgres with compose.yaml's settings, and what deploy/roles.sh makes."""
    given = dict(a[2:].split("=") for a in services["postgres"]["command"][1:])
    made = Postgres(folder / "postgres", settings={"fsync": "off", **given})
    made.start()
    with psycopg.connect(made.dsn("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE godot")  # of `up`; the script makes its own
    environ = services["postgres"]["environment"] | {
        "PATH": f"{made.cluster.programs}:{os.defpath}",
        "PGHOST": str(made.socket_folder), "POSTGRES_USER": "godot",
        "PGPASSWORD": made._owner_password(),
    }  # fmt: skip # what the postgres image gives it
    done = subprocess.run(
        [folder / "deploy/roles.sh"], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    yield made
    made.stop()
    made.wipe()


@pytest.fixture(scope="module")
def parts(folder, services, queue_port, server, image) -> Iterator[dict[str, Part]]:
    """Our parts, in the order that compose.yaml starts them in."""
    socket = quote(str(server.socket_folder), safe="")
    place = f"@/godot?host={socket}&port=5432"
    ports = {name: str(free_port()) for name in ("4318", "9060")}
    made: dict[str, Part] = {}

    def start(name: str, service: str, **changes: str) -> Part:
        found = dict(services[service])
        found["environment"] = {
            key: value.replace("@postgres:5432/godot", place).replace(
                "@valkey:6379", f"@127.0.0.1:{queue_port}"
            )
            for key, value in found["environment"].items()
        }
        own = {"receiver": "4318", "mcp": "9060"}.get(service)
        if own:  # beyond its own network a container's port would be taken
            found["command"] = [*found["command"], "--port", ports[own]]
        health = changes.get("GODOT_HTTP_PORT", "9464")
        made[name] = Part(image, found, folder / f"{name}.log", **changes)
        made[name].ports = {**ports, "9464": health}
        return made[name]

    migrate = start("migrate", "migrate")
    assert migrate.process.wait(60) == 0, migrate.log.read_text()
    token = migrate.run("token", "create", "--name", "agents", "--scope", "logs:read")
    (folder / "token").write_text(token.strip())
    for number in range(services["collector"]["deploy"]["replicas"]):
        start(f"collector-{number}", "collector", GODOT_HTTP_PORT=str(free_port()))
    for name in ("receiver", "mcp"):
        start(name, name)
    try:
        for name, part in made.items():
            if name != "migrate":
                part.wait_healthy()
        yield made
    finally:
        for part in made.values():
            if part.process.poll() is None:
                part.process.kill()
                part.process.wait()


@pytest.fixture
def ask(parts, folder):
    """Ask the JSON API for lines, by the token."""

    def ask(**headers: str) -> list[dict[str, Any]]:
        url = f"http://localhost:{parts['mcp'].ports['9060']}/api/logs"
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers)
        ) as answer:
            return json.loads(answer.read())["rows"]

    token = (folder / "token").read_text()
    ask.token = {"Authorization": f"Bearer {token}"}
    return ask


def test_what_an_application_and_any_sdk_send_is_read_over_http(
    parts, services, urls, ask
):
    producer = queue.Producer(urls["producer"])
    producer.admit(entry(["by the queue"]))
    producer.close()
    receiver = parts["receiver"]
    token = receiver.environ["GODOT_OTLP_TOKEN"]
    post = urllib.request.Request(
        f"http://127.0.0.1:{receiver.ports['4318']}/v1/logs",
        data=request(["by OTLP"]).SerializeToString(),
        headers={"Content-Type": "application/x-protobuf",
                 "Authorization": f"Bearer {token}"},
    )  # fmt: skip # where, what, and how
    with urllib.request.urlopen(post) as answer:
        assert answer.status == 200
    wait_until(lambda: len(ask(**ask.token)) == 2, "both lines")
    assert {row["body"] for row in ask(**ask.token)} == {"by the queue", "by OTLP"}


def test_without_the_token_nothing_is_read_or_sent(parts, ask):
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask()
    post = urllib.request.Request(
        f"http://127.0.0.1:{parts['receiver'].ports['4318']}/v1/logs", data=b"{}",
        headers={"Content-Type": "application/json"},
    )  # fmt: skip # where, what, and how
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(post)


def test_a_collector_complains_of_nothing_about_its_servers(parts):
    for name in ("collector-0", "collector-1"):
        lines = [json.loads(one) for one in parts[name].log.read_text().splitlines()]
        assert [one for one in lines if one["level"] != "INFO"] == []


def test_the_parts_run_without_rights_and_leave_no_file(parts, image, folder):
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.user)
    account = fix_compose.account(image)
    for name, part in parts.items():
        if name != "migrate":
            who = Path(f"/proc/{part.process.pid}").stat().st_uid
            assert who == (account.pw_uid if account else os.getuid())
        assert not list((folder / name).iterdir()), name
        assert "HOME" not in part.environ


def test_writer_and_reader_can_do_their_part_alone(parts, services):
    writer = parts["collector-0"].environ["GODOT_POSTGRES_WRITER_DSN"]
    reader = parts["mcp"].environ["GODOT_POSTGRES_READER_DSN"]
    refused = {
        writer: ["SELECT * FROM logs", "DELETE FROM logs", "TRUNCATE batches",
                 "UPDATE logs SET body = ''", "DROP TABLE logs", "CREATE TABLE t ()",
                 "DELETE FROM audit", "SELECT * FROM tokens"],
        reader: ["SET TRANSACTION READ WRITE; DELETE FROM logs",
                 "SET TRANSACTION READ WRITE; CREATE TABLE t ()",
                 "SET TRANSACTION READ WRITE; INSERT INTO dead_letters"
                 " SELECT * FROM dead_letters"],
    }  # fmt: skip # what neither may
    for dsn, statements in refused.items():
        for statement in statements:
            with (
                psycopg.connect(dsn) as connection,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute(statement)
    with psycopg.connect(reader) as connection:
        assert connection.execute("SELECT count(*) FROM log_lines").fetchone() == (2,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM logs")


def test_the_roles_are_those_that_migrate_prints(parts):
    printed = parts["migrate"].run("migrate", "--print-roles")
    script = (CHECKOUT / "deploy/roles.sh").read_text()
    script = script.replace(":'writer'", "'choose one'")
    script = script.replace(":'reader'", "'choose another'")
    for line in printed.splitlines():
        if not line.startswith("--"):
            assert line in script


def test_every_part_ends_when_it_is_told_to_and_the_queue_is_kept(parts, urls):
    for name in ("collector-0", "collector-1", "receiver", "mcp"):
        assert parts[name].stop() == 0, parts[name].log.read_text()
    producer = queue.Producer(urls["producer"])
    producer.admit(entry(["waits"]))
    producer.close()
    with redis.Redis.from_url(urls["collector"]) as client:
        assert client.xlen(queue.stream_key()) == 1
