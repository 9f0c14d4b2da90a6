"""The stack with our own programs in it, as a person starts it."""

import json
import signal
import subprocess
import sys
import time
import urllib.request

import psycopg
import pytest
from fix_processes import FREE_PORTS

pytestmark = pytest.mark.slow


@pytest.fixture
def real(new_machine):
    new_machine.command = (sys.executable, "-m", "godot_otel")
    return new_machine


def test_up_in_the_background_returns_when_everything_works_and_down_ends_it(real):
    up = real.run("up", "-d", *FREE_PORTS)
    assert up.returncode == 0, up.stdout + up.stderr
    state = real.state()
    assert f"MCP       {state['mcp_url']}" in up.stdout
    sent = urllib.request.Request(
        f"{state['otlp_url']}/v1/logs", b"{}", {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(sent) as answer:
        assert answer.status == 200
    with psycopg.connect(state["postgres_reader_dsn"]) as connection:
        assert connection.execute("SELECT count(*) FROM logs").fetchone() == (0,)
        kept = connection.execute(
            "SELECT retention_days, retention_bytes FROM settings"
        )
        assert kept.fetchone() == (7, 10_000_000_000)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM logs")
    with (
        psycopg.connect(state["postgres_writer_dsn"]) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("DELETE FROM logs")
    assert real.run("status").returncode == 0

    second = real.run("up", "-d")
    assert second.returncode == 1
    assert "runs already" in second.stderr

    assert real.run("down").returncode == 0
    assert real.run("status").returncode == 1
    assert real.state() == {}


def test_ctrl_c_ends_all_of_it_within_10_s(real):
    up = real.up()
    up.send_signal(signal.SIGINT)
    assert up.wait(10) == 0
    assert real.run("status", "--json").returncode == 1
    assert "ended" not in real.log.read_text()


PROGRAM = """
import logging
import godot_otel_exporter
godot_otel_exporter.configure(service_name="early")
for number in range(20):
    logging.getLogger("early").info("line %d of an early program", number)
"""


def test_lines_of_a_program_that_ended_before_up_are_found_after_it(real):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=real.environ, capture_output=True, text=True, timeout=30,
    )  # fmt: skip # one command
    assert done.returncode == 0, done.stderr
    real.up()
    deadline, found = time.monotonic() + 20, []
    while len(found) < 20 and time.monotonic() < deadline:
        answer = real.run("query", "--service", "early", "--json", "--limit", "50")
        found = [json.loads(line)["body"] for line in answer.stdout.splitlines()]
    folder = real.path / "spool"
    assert f"sent 20 records that waited in {folder}" in real.log.read_text()
    assert sorted(found) == sorted(f"line {n} of an early program" for n in range(20))
