"""A store that this program may not work on: one sentence, and nothing touched."""

import os
import subprocess
import sys

import psycopg
import pytest
from fix_otlp import entry

from godot_otel import cli, queue

TABLES = ("settings", "schema_migrations", "partitions", "logs", "dead_letters")


@pytest.fixture
def environ(redis_url, store_dsn, tmp_path, monkeypatch) -> dict[str, str]:
    found = {
        "GODOT_POSTGRES_DSN": store_dsn,
        "GODOT_REDIS_URL": redis_url,
        "GODOT_DATA_DIR": str(tmp_path / "data"),
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


def change(dsn: str, statement: str) -> dict[str, list[tuple]]:
    """Run a statement; return what the store holds then."""
    with psycopg.connect(dsn) as connection:
        connection.execute(statement)
        return {
            name: connection.execute(f"SELECT * FROM {name}").fetchall()
            for name in TABLES
        }


NEWER = (
    "INSERT INTO schema_migrations VALUES (9999, '9999_later', 'x');"
    "UPDATE settings SET oldest_reader = 9999"
)
READING = [
    ["query"], ["trace", "--last"], ["traces"], ["stats"],
    ["canary", "--seconds", "0.1"], ["dead-letters", "list"], ["backup", "b"],
]  # fmt: skip # one command line each


def test_a_schema_that_allows_newer_programs_only_is_left_alone(
    environ, store_dsn, capfd, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = change(store_dsn, NEWER)
    for command in (*READING, ["migrate"]):
        status = cli.main(command)
        out, err = capfd.readouterr()
        assert (status, out) == (2, ""), command
        assert "the store's schema (9999) is newer than this program allows" in err
        assert err.endswith("upgrade godot-otel.\n"), command
        assert len(err.splitlines()) == 1, command
    assert change(store_dsn, "SELECT") == before
    assert not (tmp_path / "b").exists()


def test_what_would_write_to_it_does_not_begin_and_the_queue_keeps_its_records(
    environ, store_dsn, producer
):
    before = change(store_dsn, NEWER)
    producer.admit(entry(["a line"]))
    for command in ("collect", "up"):
        done = subprocess.run(
            [sys.executable, "-m", "godot_otel", command],
            env=os.environ | environ, capture_output=True, text=True, timeout=60,
        )  # fmt: skip # one process
        assert done.returncode == 2, command
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert "is newer than this program allows" in done.stderr
    assert change(store_dsn, "SELECT") == before
    assert producer._redis.xlen(queue.stream_key()) == 1
    assert producer._redis.xinfo_groups(queue.stream_key()) == []


def test_a_newer_schema_that_allows_this_program_is_read(environ, store_dsn):
    change(store_dsn, NEWER.partition(";")[0])
    for command in (["query"], ["stats"]):
        assert cli.main(command) == 0, command


def test_a_schema_that_was_not_migrated_yet_names_the_command(
    environ, store_dsn, capfd
):
    change(store_dsn, "UPDATE schema_migrations SET number = number - 1000")
    for command in READING[:4]:
        assert cli.main(command) == 2, command
        assert "run `godot-otel migrate`" in capfd.readouterr().err
