"""``godot-otel clear`` on a terminal and in a pipe, and the flags of ``mcp``."""

import json
import os
import pty
import subprocess
import sys
from datetime import timedelta

import pytest
from fix_agents import FLAGS
from fix_held import bodies, check_sums, hour, rows
from fix_lines import Row
from fix_processes import wait_until

from godot_otel import cli
from godot_otel.access import SCOPES
from godot_otel.cli import serve
from godot_otel.mcp import server
from godot_otel.web import app


@pytest.fixture
def clear(store_dsn, monkeypatch, capfd):
    """Run the command here; return status, output and what was said about it."""
    monkeypatch.setenv("GODOT_POSTGRES_DSN", store_dsn)

    def run(*arguments: str) -> tuple[int, str, str]:
        with monkeypatch.context() as patched, open(os.devnull) as nobody:
            patched.setattr(sys, "stdin", nobody)
            status = cli.main(["clear", *arguments])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def filled(lines):
    lines.add(
        Row("old", hour(3), severity=17), Row("old", hour(3) + timedelta(minutes=1)),
        Row("other", hour(3), service="pay\x1b[2J"), Row("new"),
    )  # fmt: skip # three old ones


def test_in_a_pipe_it_shows_and_needs_yes(clear, filled, store_dsn):
    status, out, err = clear("--before", "-2h")
    assert (status, out) == (2, "")
    assert "orders: 1 INFO, 1 ERROR\n" in err
    assert "pay: 1 INFO\n" in err, "names of others cannot control the terminal"
    assert "that is 3 lines. To delete it, add --yes." in err
    assert sum(bodies(store_dsn).values()) == 4
    status, out, err = clear("--before", "-2h", "--service", "orders", "--yes")
    assert (status, out) == (0, "deleted 2 lines\n")
    assert bodies(store_dsn) == {"other": 1, "new": 1}
    check_sums(store_dsn)
    audited = rows(
        store_dsn, "SELECT caller, outcome, arguments FROM audit ORDER BY at"
    )
    assert [row[:2] for row in audited] == [("cli", "begun"), ("cli", "done")]
    assert audited[0][2]["component"] == "orders"


def test_as_json(clear, filled, store_dsn):
    status, out, _ = clear("--before", "-2h", "--level", "error", "--yes", "--json")
    facts = json.loads(out)
    assert status == 0
    assert facts.pop("before").endswith(":00Z")
    assert facts == {
        "component": "", "level": "ERROR", "deleted": 1, "spans": 0,
        "levels": {"ERROR": 1},
        "services": {"orders": {"ERROR": 1}},
    }  # fmt: skip # one object
    status, out, err = clear("--before", "-2h", "--level", "error", "--yes", "--json")
    assert (status, json.loads(out)["deleted"]) == (0, 0)
    assert "no line is older than" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--before", "-10m"], "newer than an hour ago"),
        (["--before", "soon"], "is no time"),
        (["--before", "-2h", "--level", "LOUD"], "'LOUD' is none of"),
        ([], "Missing option '--before'"),
    ],
)
def test_what_is_mistyped_is_said(clear, filled, store_dsn, arguments, sentence):
    status, out, err = clear(*arguments, "--yes")
    assert (status, out) == (2, "")
    assert sentence in err
    assert sum(bodies(store_dsn).values()) == 4


@pytest.mark.parametrize(("typed", "left"), [("n\n", 4), ("\n", 4), ("y\n", 1)])
def test_a_terminal_is_asked(filled, store_dsn, typed, left):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "godot_otel", "clear", "--before", "-2h"],
        env=os.environ | {"GODOT_POSTGRES_DSN": store_dsn},
        stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True,
    )  # fmt: skip # how it runs
    os.close(theirs)
    said = ""

    def asks() -> bool:
        nonlocal said
        said += os.read(ours, 4096).decode()
        return "Delete that for ever? [y/N]" in said

    wait_until(asks, "a question")
    os.write(ours, typed.encode())
    assert process.wait(20) == (0 if left == 1 else 1)
    os.close(ours)
    assert sum(bodies(store_dsn).values()) == left


@pytest.mark.parametrize("given", [[], ["--allow-write"], [*FLAGS.values()]])
def test_the_flags_of_mcp_are_its_scopes(monkeypatch, given):
    got = []

    async def stdio(*, data_dir, scopes) -> None:
        got.append(sorted(scopes))

    async def serving(host, port, *, data_dir, scopes) -> None:
        got.append(sorted(scopes))

    monkeypatch.setattr(server, "stdio", stdio)
    monkeypatch.setattr(app, "serve", serving)
    monkeypatch.setattr(serve, "log_to_stdout", lambda: None)
    assert cli.main(["mcp", *given]) == 0
    assert cli.main(["mcp", "--http", *given]) == 0
    expected = sorted(scope for scope, flag in FLAGS.items() if flag in given)
    assert got == [expected, expected]
    assert set(FLAGS) < set(SCOPES)
