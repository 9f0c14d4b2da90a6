"""``godot-otel doctor``: each fault is named, with the way out, and no password."""

import asyncio
import json
import os
import pty
import subprocess
import sys

import psycopg
import pytest
import redis
from fix_otlp import entry
from fix_processes import CollectorProcess
from psycopg.conninfo import make_conninfo

from godot_otel import cli, state, store
from godot_otel_exporter.spool import Spool

PASSWORD = "geheim-7731"


@pytest.fixture
def doctor(tmp_path, monkeypatch, capsys):
    """Run it; return its status and findings."""
    for name in [n for n in os.environ if n.startswith(("GODOT_", "OTEL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GODOT_DATA_DIR", str(tmp_path / "data"))

    def run(**environ: str) -> tuple[int, list[dict[str, str]]]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        status = cli.main(["doctor", "--json"])
        out, err = capsys.readouterr()
        assert err == ""
        assert PASSWORD not in out
        return status, [json.loads(line) for line in out.splitlines()]

    return run


def named(found: list[dict[str, str]], text: str) -> dict[str, str]:
    """The one finding that says *text*; what is wrong comes with what to do."""
    (one,) = [check for check in found if text in check["what"]]
    assert (one["level"] == "ok") == (one["do"] == "")
    return one


@pytest.fixture
def durable(redis_url):
    """The session's server, configured as an embedded one is."""
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("appendfsync", "always")
        yield redis_url
        client.config_set("appendfsync", "no")


@pytest.fixture
async def roles(store_dsn):
    """Writer and reader as `migrate --print-roles` has them; their DSNs."""
    text = await store.roles_text(store_dsn)
    with psycopg.connect(store_dsn, autocommit=True) as connection:
        connection.execute(text)
        await store.migrate(store_dsn)
        found = store.role_names(connection.info.dbname)
        passwords = {"writer": "choose one", "reader": "choose another"}
        yield {
            f"GODOT_POSTGRES_{role.upper()}_DSN": make_conninfo(
                store_dsn, user=name, password=passwords[role]
            )
            for role, name in found.items()
        }
        for name in found.values():
            connection.execute(f"DROP OWNED BY {name}")
            connection.execute(f"DROP ROLE {name}")


def test_a_healthy_machine_has_nothing_but_ok(
    doctor, durable, store_dsn, roles, tmp_path, producer
):
    collector = CollectorProcess(tmp_path, durable, store_dsn, **roles)
    try:
        producer.admit(entry(["one"]))
        status, found = doctor(
            GODOT_REDIS_URL=durable, GODOT_POSTGRES_DSN=store_dsn, **roles
        )
    finally:
        collector.stop()
    assert [check for check in found if check["level"] != "ok"] == []
    assert status == 0
    for text in (
        "(by GODOT_REDIS_URL) answers", "Valkey ", "appendfsync always",
        "the clock of the queue agrees", "collectors that read it: 1", "spool",
        "instrumented: ", "PostgreSQL 1", "schema 0", "partitions for now and ahead",
        "may add log lines and no more", "may read log lines and no more",
        "the clock of the store agrees", "connections are left",
    ):  # fmt: skip # what it looked at
        assert any(text in check["what"] for check in found), text


def test_a_queue_that_is_away_is_named_with_what_named_it(doctor, tmp_path):
    url = f"redis://:{PASSWORD}@127.0.0.1:1/0"
    status, found = doctor(GODOT_REDIS_URL=url)
    one = named(found, "redis://127.0.0.1:1/0 (by GODOT_REDIS_URL): ")
    assert "Connection refused" in one["what"]
    assert "correct GODOT_REDIS_URL" in one["do"]
    assert status == 1
    os.environ.pop("GODOT_REDIS_URL")
    (tmp_path / "data").mkdir()
    state.write(tmp_path / "data", {"redis_url": url})
    status, found = doctor()
    assert "`godot-otel down`, then `up`" in named(found, "state.json): ")["do"]


def test_without_any_queue_it_says_how_to_get_one(doctor):
    status, found = doctor()
    assert "`godot-otel up`" in named(found, "no variable names a queue")["do"]
    assert status == 0


def test_a_wrong_password_is_said_and_not_printed(
    doctor, redis_url, store_dsn, request
):
    place = redis_url.rpartition("@")[2]
    dsn = make_conninfo(store_dsn, password=PASSWORD)
    status, found = doctor(
        OTEL_EXPORTER_GODOT_ENDPOINT=f"redis://:{PASSWORD}@{place}",
        GODOT_POSTGRES_DSN=dsn,
    )
    if request.config.getoption("--postgres") == "embedded":  # the other one trusts
        refused = named(found, "password authentication failed")
        assert "correct GODOT_POSTGRES_DSN" in refused["do"]
    one = named(found, "refused the user or password")
    assert one["do"] == "correct them in OTEL_EXPORTER_GODOT_ENDPOINT"
    assert status == 1


def test_what_a_server_of_ones_own_can_lose_is_said_exactly(doctor, redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("appendfsync", "everysec")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            status, found = doctor(GODOT_REDIS_URL=redis_url)
        finally:
            client.config_set("appendfsync", "no")
            client.config_set("maxmemory-policy", "noeviction")
    one = named(found, "appendfsync everysec")
    assert "in up to 2 s" in one["what"]
    assert one["do"] == "CONFIG SET appendfsync always"
    assert named(found, "maxmemory-policy allkeys-lru")["level"] == "problem"
    assert status == 1


def test_a_server_that_forbids_questions_could_not_be_checked(doctor, redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command(
            "ACL", "SETUSER", "managed", "on", f">{PASSWORD}", "~*", "+@all",
            "-config", "-info",
        )  # fmt: skip # one command
        try:
            place = redis_url.rpartition("@")[2]
            status, found = doctor(
                GODOT_REDIS_URL=f"redis://managed:{PASSWORD}@{place}"
            )
        finally:
            client.execute_command("ACL", "DELUSER", "managed")
    for what in ("eviction and persistence", "the server's version"):
        assert named(found, f"could not check {what}: ")["level"] == "warning"
    assert status == 0


def test_a_queue_that_nobody_reads_is_a_problem(doctor, redis_url, producer):
    producer.admit(entry(["one", "two"]))
    status, found = doctor(GODOT_REDIS_URL=redis_url)
    one = named(found, "2 of 5,000,000 records wait")
    assert one["what"].endswith("; no collector reads it")
    assert "godot-otel collect" in one["do"]
    assert status == 1


def test_a_spool_that_cannot_be_used_is_named(doctor, tmp_path):
    (tmp_path / "file").touch()
    status, found = doctor(OTEL_EXPORTER_GODOT_SPOOL_DIR=str(tmp_path / "file/spool"))
    one = named(found, f"{tmp_path}/file is no folder")
    assert "OTEL_EXPORTER_GODOT_SPOOL_DIR" in one["do"]
    assert status == 1
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    status, found = doctor(OTEL_EXPORTER_GODOT_SPOOL_DIR=str(tmp_path / "open"))
    assert "chmod o-w" in named(found, "is open to everybody")["what"]


def test_what_waits_in_the_spool_is_said(doctor, tmp_path):
    folder = tmp_path / "spool"
    Spool(folder, max_bytes=1 << 20).put(entry(["one", "two", "three"]))
    _, found = doctor(OTEL_EXPORTER_GODOT_SPOOL_DIR=str(folder))
    one = named(found, "3 records in 1 batches wait")
    assert "godot-otel spool replay" in one["do"]
    assert [path.suffix for path in folder.iterdir() if path.suffix == ".tmp"] == []


def test_an_old_schema_is_named_with_what_upgrades_it(doctor, store_dsn):
    with psycopg.connect(store_dsn) as connection:
        connection.execute(
            "DELETE FROM schema_migrations"
            " WHERE number = (SELECT max(number) FROM schema_migrations)"
        )
        connection.execute("INSERT INTO schema_migrations VALUES (0, 'older', '')")
    status, found = doctor(GODOT_POSTGRES_DSN=store_dsn)
    assert "godot-otel migrate" in named(found, "the store's schema lacks 0")["do"]
    warned = named(found, "collectors write as the owner")
    assert "GODOT_POSTGRES_WRITER_DSN" in warned["do"]
    assert status == 1


def test_a_retention_that_the_store_was_not_told_is_named(doctor, store_dsn):
    asked = {"GODOT_POSTGRES_DSN": store_dsn, "GODOT_RETENTION_BYTES": "5000000000"}
    found = doctor(**asked, GODOT_RETENTION_DAYS="3")[1]
    assert "`godot-otel migrate`" in named(found, "DAYS is 3 here, and")["do"]
    assert "was told nothing" in named(found, "BYTES is 5,000,000,000 here")["what"]
    asyncio.run(store.migrate(store_dsn, retention_days=3, retention_bytes=5 * 10**9))
    assert not [one for one in doctor()[1] if "was told" in one["what"]]


def test_a_role_that_may_do_too_much_or_too_little_is_named(doctor, store_dsn, roles):
    with psycopg.connect(store_dsn, autocommit=True) as connection:
        names = store.role_names(connection.info.dbname)
        connection.execute(f"GRANT SELECT ON logs TO {names['writer']}")
        connection.execute(f"REVOKE SELECT ON logs FROM {names['reader']}")
    status, found = doctor(GODOT_POSTGRES_DSN=store_dsn, **roles)
    assert named(found, "may do more than add log lines")["level"] == "warning"
    assert "godot-otel migrate" in named(found, "may not read log lines")["do"]
    assert status == 1


def test_settings_that_are_wrong_come_first_and_the_rest_is_still_checked(doctor):
    status, found = doctor(
        GODOT_REDIS_ULR="x",
        GODOT_POSTGRES_DSN=f"mysql://u:{PASSWORD}@h/d",
        GODOT_QUEUE_MAX_BYTES="many",
    )
    assert status == 2
    assert [check["about"] for check in found[:3]] == ["settings"] * 3
    named(found, "did you mean GODOT_REDIS_URL?")
    named(found, "GODOT_POSTGRES_DSN: its value is no Postgres URL")
    named(found, "'many' is no number of bytes")
    assert {check["about"] for check in found} >= {"queue", "spool", "application"}


@pytest.mark.parametrize(
    ("name", "value", "text", "do"),
    [
        ("OTEL_SDK_DISABLED", "true", "nothing is exported", "unset OTEL_SDK_DISABLED"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "names zipkin, which is not", "install it"),
        ("OTEL_LOGS_EXPORTER", "console", "log records do not go to", "add godot"),
        ("OTEL_TRACES_EXPORTER", "none", "spans do not go to the queue", "add godot"),
        ("OTEL_PROPAGATORS", "tracecontext,b33", "names b33, which", "take it out"),
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "logging", "no log record", "take"),
        ("OTEL_PYTHON_DISTRO", "aws", "would use that", "OTEL_PYTHON_DISTRO=godot"),
    ],
)
def test_a_variable_that_switches_everything_off_is_named(
    doctor, name, value, text, do
):
    _, found = doctor(**{name: value})
    one = named(found, text)
    assert name in one["what"]
    assert do in one["do"]


def test_a_port_that_does_not_answer_is_named(doctor, tmp_path):
    (tmp_path / "data").mkdir()
    state.write(
        tmp_path / "data", {"mcp_url": "http://127.0.0.1:1/mcp", "otlp_url": None}
    )
    status, found = doctor(GODOT_HTTP_PORT="1")
    assert "godot-otel status" in named(found, "MCP does not answer at")["do"]
    assert "godot-otel collect" in named(found, "no collector answers at")["do"]
    assert status == 1


def test_colours_are_for_terminals_alone(tmp_path):
    command = [sys.executable, "-m", "godot_otel", "doctor"]
    environ = os.environ | {"GODOT_DATA_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("ok       settings     set: GODOT_DATA_DIR\n")
    assert "\x1b" not in done.stdout
    ours, theirs = pty.openpty()
    subprocess.run(command, env=environ, stdout=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 4096)
    os.close(ours)
    assert shown.startswith(b"\x1b[32mok     \x1b[0m  settings")


def test_a_clock_that_differs_is_said():
    from godot_otel.doctor.check import clock

    assert clock("queue", "the queue", 0.4).level == "ok"
    one = clock("queue", "the queue", -90.0)
    assert one.what == "the clock of the queue is 90 s behind this machine's"
    assert "NTP" in one.do


@pytest.mark.parametrize(
    ("facts", "what", "level"),
    [
        ({"redis_version": "6.2.14"}, "Redis 6.2.14 is older than 7.0", "problem"),
        ({"redis_version": "7.0.15"}, "Redis 7.0.15", "ok"),
        ({"redis_version": "10.1"}, "Redis 10.1", "ok"),
        (
            {"redis_version": "7.2.4", "server_name": "valkey",
             "valkey_version": "9.0.1"},
            "Valkey 9.0.1", "ok",
        ),
    ],
)  # fmt: skip # a server a row
def test_a_server_that_is_too_old_is_named(facts, what, level):
    from godot_otel.doctor.queue_server import version

    one = version(facts)
    assert (one.what, one.level) == (what, level)
