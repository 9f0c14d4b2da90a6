"""The stack with our own programs in it, as a person starts it."""

import signal
import sys

import psycopg
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def real(new_machine):
    new_machine.command = (sys.executable, "-m", "godot_otel")
    return new_machine


def test_up_in_the_background_returns_when_everything_works_and_down_ends_it(real):
    up = real.run("up", "-d", "--mcp-port", "0", "--redis-port", "0")
    assert up.returncode == 0, up.stdout + up.stderr
    state = real.state()
    assert f"MCP       {state['mcp_url']}" in up.stdout
    with psycopg.connect(state["postgres_reader_dsn"]) as connection:
        assert connection.execute("SELECT count(*) FROM logs").fetchone() == (0,)
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
