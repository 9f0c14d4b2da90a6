"""However a process ends, its last lines arrive, and its end is as without us."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time

import pytest

LOG = 'const log = require("pino")();\nlog.info("last words");\n'
WAIT = 'setInterval(() => {}, 1000);\nprocess.stdout.write("ready\\n");\n'
REGISTER = ("--require", "godot-otel/register")


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("", 0),
        ("process.exitCode = 5;", 5),
        ("process.exit(3);", 3),
        ("throw new Error('out');", 1),
        ("Promise.reject(new Error('out'));", 1),
        ("process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 9000);", -15),
    ],
)
def test_the_last_line_arrives_and_the_status_stays(node, server, end, status):
    program = node.script(LOG + end)
    assert node.run(program).returncode == status
    done = node.run(*REGISTER, program, GODOT_REDIS_URL=server.url)
    assert done.returncode == status
    assert server.bodies() == ["last words"]


@pytest.mark.parametrize("end", ["", "process.exit(3);"])
def test_what_its_own_handlers_of_the_end_log_arrives(node, server, end):
    own = 'process.on("exit", () => log.info("adieu"));\n'
    again = 'process.on("exit", () => process.exit(4));\n'
    for source, status in ((own, 3 if end else 0), (own + again, 4)):
        program = node.script(LOG + source + end)
        done = node.run(*REGISTER, program, GODOT_REDIS_URL=server.url)
        assert (done.returncode, done.stderr) == (status, "")
    bodies = server.bodies()
    assert bodies.count("last words") == 2
    assert bodies.count("adieu") == 1, "two handlers, and the last one ends it for good"


def running(node, server, source: str, url: str = "") -> subprocess.Popen[str]:
    program = node.script(source)
    process = node.start(*REGISTER, program, GODOT_REDIS_URL=url or server.url)
    while process.stdout.readline() != "ready\n":
        assert process.poll() is None
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_dies_of_the_signal(node, server, number):
    process = running(node, server, LOG + WAIT)
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == -number
    assert server.bodies() == ["last words"]


def test_a_handler_of_the_application_decides(node, server):
    own = 'process.on("SIGTERM", () => setTimeout(() => process.exit(7), 300));\n'
    process = running(node, server, LOG + own + WAIT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 7
    assert server.bodies() == ["last words"]


def test_a_library_that_dies_where_it_is_alone_still_does(node, server):
    """As signal-exit does it: it looks whether there are handlers beside its own."""
    library = """
    const own = () => {
      if (process.listeners("SIGTERM").length === 1) {
        process.removeListener("SIGTERM", own);
        process.kill(process.pid, "SIGTERM");
      }
    };
    process.on("SIGTERM", own);
    """
    process = running(node, server, LOG + library + WAIT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGTERM
    assert server.bodies() == ["last words"]


def test_with_the_queue_away_an_end_is_not_held_up(node, server):
    began = time.monotonic()
    nowhere = "redis://127.0.0.1:1/0"
    process = running(node, server, LOG + WAIT, url=nowhere)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGTERM
    assert time.monotonic() - began < 4
    *_, line = said.splitlines()
    assert json.loads(line)["body"] == "last words"


@pytest.mark.parametrize("end", ["", "process.exit(3);"])
def test_with_the_queue_away_all_that_is_left_is_printed(node, end):
    """More than a pipe holds, to a reader that is slow at first."""
    many = 'const log = require("pino")({}, process.stdout);\n'
    many += 'for (let n = 0; n < 3000; n++) log.info({ n }, "left");\n'
    nowhere = "redis://127.0.0.1:1/0"
    process = node.start(*REGISTER, node.script(many + end), GODOT_REDIS_URL=nowhere)
    time.sleep(1.5)
    _, said = process.communicate(timeout=20)
    printed = [json.loads(line) for line in said.splitlines() if line[0] == "{"]
    assert [one["attributes"]["n"] for one in printed] == list(range(3000))


def test_a_queue_that_never_answers_holds_up_an_end_for_seconds_only(
    node, server, mute
):
    process = running(node, server, LOG + WAIT, url=mute)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=15)
    assert process.returncode == -signal.SIGTERM
    assert time.monotonic() - began < 9
    assert json.loads(said.splitlines()[-1])["body"] == "last words"


@pytest.fixture
def mute():
    """The URL of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def test_a_timer_of_ours_keeps_no_process_alive(node, server):
    source = LOG + 'setTimeout(() => log.info("idle for long"), 1500);'
    began = time.monotonic()
    done = node.run(*REGISTER, node.script(source), GODOT_REDIS_URL=server.url)
    assert done.returncode == 0
    assert time.monotonic() - began < 6
    assert server.bodies() == ["last words", "idle for long"]
