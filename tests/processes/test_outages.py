"""Ends while the queue is away: soon, quietly, and with every line on disk."""

from __future__ import annotations

import os
import signal
import time

import pytest
from fix_launch import TRACED
from fix_queue import Server
from fix_serving import free_port

PROGRAM = """
    import logging, os, signal, sys, time
    logging.getLogger("shop").setLevel(logging.INFO)
    TRACED
    for n in range(2000):
        log.info("line %d", n)
    print(time.time(), flush=True)
    {end}
""".replace("    TRACED\n", TRACED[1:])
ENDS = {
    "its last line": "pass",
    "os._exit": "os._exit(3)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
}


def took(running) -> float:
    outcome = running.outcome()
    assert outcome.err.count("\n") <= 1, outcome.err  # one line of ours
    assert outcome.err.startswith("godot-otel: ")
    return time.time() - float(outcome.out)


@pytest.fixture
def frozen(tmp_path):
    folder = tmp_path / "frozen"
    folder.mkdir()
    server = Server(folder, free_port())
    os.kill(server.process.pid, signal.SIGSTOP)
    yield server
    server.process.kill()
    server.process.send_signal(signal.SIGCONT)
    server.stop()


@pytest.mark.parametrize("end", ENDS)
def test_a_queue_that_hangs_holds_nobody_for_long(end, launch, kept, traced, frozen):
    source = PROGRAM.format(end=ENDS[end])
    both = [launch(source, way=way, url=frozen.url) for way in ("run", "configure")]
    for running in both:
        assert took(running) < 5.5
        expected = sorted(f"line {n}" for n in range(2000))
        assert sorted(kept(running)) == sorted(traced(running)) == expected


@pytest.mark.parametrize("end", ENDS)
def test_a_queue_that_is_gone_holds_nobody(end, launch, kept, traced):
    url = f"redis://127.0.0.1:{free_port()}"
    running = launch(PROGRAM.format(end=ENDS[end]), url=url)
    assert took(running) < 1.0
    expected = sorted(f"line {n}" for n in range(2000))
    assert sorted(kept(running)) == sorted(traced(running)) == expected


def test_a_second_sigterm_ends_it_at_once(launch, frozen):
    program = """
    import logging, time
    logging.getLogger("shop").warning("a")
    print("ready", flush=True)
    time.sleep(60)
    """
    running = launch(program, url=frozen.url)
    running.says("ready")
    running.send(signal.SIGTERM)
    time.sleep(0.4)
    assert not running.ended()
    began = time.monotonic()
    running.send(signal.SIGTERM)
    assert running.outcome().status == -signal.SIGTERM
    assert time.monotonic() - began < 0.5


def test_a_queue_that_hangs_in_the_middle_holds_nobody_for_long(
    launch, kept, traced, tmp_path
):  # fmt: skip # what it needs
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder, free_port())
    program = """
    import logging, sys, time
    logging.getLogger("shop").setLevel(logging.INFO)
    TRACED
    for n in range(1000):
        log.info("line %d", n)
    time.sleep(1)
    print("frozen?", flush=True)
    time.sleep(0.5)
    for n in range(1000, 2000):
        log.info("line %d", n)
    """.replace("    TRACED\n", TRACED[1:])
    try:
        running = launch(program, url=server.url)
        running.says("frozen?")
        os.kill(server.process.pid, signal.SIGSTOP)
        began = time.monotonic()
        assert running.process.wait(20) == 0
        assert time.monotonic() - began < 5.5
        os.kill(server.process.pid, signal.SIGCONT)
        time.sleep(0.2)
        expected = {f"line {n}" for n in range(2000)}
        assert set(server.bodies() + kept(running)) == expected
        assert {s.name for s in server.spans()} | {*traced(running)} == expected
    finally:
        server.process.kill()
        server.process.send_signal(signal.SIGCONT)
        server.stop()
