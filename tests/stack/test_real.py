"""The stack with our own programs in it, as a person starts it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import psycopg
import pytest
from fix_oracle import RIGHT
from fix_pipeline import Pipeline
from fix_processes import FREE_PORTS, wait_until

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


@pytest.fixture
def load(real, tmp_path):
    """Two applications that log to the stack, and the oracle that knows what."""
    real.up()
    state = real.state()
    pipeline = Pipeline(tmp_path, state["redis_url"], state["postgres_dsn"])
    running = [pipeline.application(10**6, pause=0.01) for _ in range(2)]
    yield pipeline, running
    pipeline.close()


def test_a_stack_killed_under_load_goes_on_at_the_next_up_without_a_loss(real, load):
    pipeline, running = load
    wait_until(lambda: len(pipeline.oracle.records("accepted")) > 500, "some records")
    state = real.state()
    for found in (state["pid"], *state["pids"].values()):
        for pid in found if isinstance(found, list) else [found]:
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pipeline.waiting() > 5, "batches on disk")
    real.up()
    assert real.state()["redis_url"] == pipeline.redis_url
    wait_until(lambda: pipeline.waiting() == 0, "an empty spool")
    for application in running:
        application.terminate()
        application.join()
    wait_until(lambda: pipeline.depth() == 0, "the queue to drain")
    assert pipeline.oracle.verdict(real.state()["postgres_dsn"]) == RIGHT
