"""Levels set by the command line reach real processes, and end by themselves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time

import pytest

from godot_otel.queue import Producer

BUSY = """
    import logging, sys, time
    if sys.argv[1:]:
        logging.basicConfig(level=sys.argv[1])
    log = logging.getLogger("shop.cart")
    while True:
        log.debug("debug line")
        log.warning("warning line")
        time.sleep(0.02)
"""
IDLE = """
    import logging, time
    log = logging.getLogger("shop.idle")
    on = False
    while True:
        if log.isEnabledFor(logging.DEBUG) != on:
            on = not on
            print("on" if on else "off", time.monotonic(), flush=True)
            log.debug("idle woke up")
        time.sleep(0.02)
"""


@pytest.fixture
def start(tmp_path, godot_run, server):
    running = []

    def start(source: str, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        script = tmp_path / f"{name}.py"
        script.write_text(textwrap.dedent(source))
        command, run, *rest = godot_run
        with (
            (tmp_path / f"{name}.out").open("wb") as out,
            (tmp_path / f"{name}.err").open("wb") as err,
        ):
            process = subprocess.Popen(
                [command, run, "--service", "shop", *rest, script, *arguments],
                env={**os.environ, "GODOT_REDIS_URL": server.url}, stdout=out,
                stderr=err,
            )  # fmt: skip # what, then how
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def registered(server):
    producer = Producer(server.url)

    def wait(count: int) -> list[int]:
        ends = time.monotonic() + 20
        while len(found := producer.instances()) < count:
            assert time.monotonic() < ends, found
            time.sleep(0.1)
        return sorted(one.pid for one in found)

    yield wait
    producer.close()


def level(server, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "godot_otel", "level", *arguments],
        env={**os.environ, "GODOT_REDIS_URL": server.url},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip # how it runs


def wait_for(path, pattern: str, seconds: float) -> float:
    ends = time.monotonic() + seconds
    while not (match := re.search(pattern, path.read_text())):
        assert time.monotonic() < ends, path.read_text()[-500:]
        time.sleep(0.02)
    return float(match[1])


@pytest.mark.slow
def test_a_level_reaches_a_busy_and_an_idle_process_and_ends(
    server, start, registered, tmp_path
):
    pids = sorted([start(BUSY, "busy").pid, start(IDLE, "idle").pid])
    assert registered(2) == pids
    assert "debug line" not in server.bodies()
    near = level(server, "set", "shpo", "DEBUG")
    assert "did you mean shop?" in near.stderr

    asked = time.monotonic()
    done = level(server, "set", "shop", "DEBUG", "--ttl", "8s", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)["instances"]
    assert sorted(one["pid"] for one in told) == pids
    assert all(one["has_applied"] for one in told)
    reached = wait_for(tmp_path / "idle.out", r"on (\S+)", 5)
    ended = wait_for(tmp_path / "idle.out", r"off (\S+)", 12)
    assert reached - asked < 5 + 1, "the command itself takes most of a second to begin"
    assert 7 < ended - asked < 12

    time.sleep(1)
    bodies = server.bodies()
    assert "debug line" in bodies
    assert "idle woke up" in bodies
    after = len(server.bodies())
    time.sleep(1)
    late = server.bodies()[after:]
    assert "warning line" in late
    assert "debug line" not in late
    printed = (tmp_path / "busy.err").read_text().splitlines()
    assert set(printed[1:]) == {"warning line"}
    assert len((tmp_path / "idle.err").read_text().splitlines()) == 1


@pytest.mark.slow
def test_the_console_stays_as_the_application_chose_it(
    server, start, registered, tmp_path
):
    start(BUSY, "quiet", "ERROR")
    start(BUSY, "loud", "DEBUG")
    start(IDLE, "idle")
    pids = registered(3)
    assert level(server, "set", "shop", "TRACE").returncode == 0
    time.sleep(1)
    loud = tmp_path / "loud.err"
    assert "WARNING:shop.cart:warning line" in loud.read_text()
    assert len((tmp_path / "quiet.err").read_text().splitlines()) == 1
    listed = level(server, "list", "--json").stdout.splitlines()
    rows = [json.loads(line) for line in listed]
    assert [row["applied"] for row in rows[1:]] == [{"shop": "TRACE"}] * len(pids)
    assert [row["level"] for row in rows[1:]] == ["TRACE"] * len(pids)

    assert level(server, "set", "shop", "ERROR").returncode == 0
    time.sleep(1)
    before, size = len(server.bodies()), loud.stat().st_size
    time.sleep(1)
    assert len(server.bodies()) == before, "what is exported became less"
    assert b"debug line" in loud.read_bytes()[size:], "what is printed did not"

    assert level(server, "reset", "--all").returncode == 0
    time.sleep(6)
    assert "warning line" in server.bodies()[before:]
    assert len((tmp_path / "quiet.err").read_text().splitlines()) == 1


def test_a_loggers_level_reaches_that_logger_alone(server, start, registered, tmp_path):
    start(BUSY, "busy")
    start(IDLE, "idle")
    registered(2)
    done = level(server, "set", "shop/shop.cart", "DEBUG")
    assert done.returncode == 0
    assert done.stdout.count("applied") == 2
    assert done.stdout.count("it has no such logger yet") == 1
    time.sleep(1)
    assert "debug line" in server.bodies()
    assert (tmp_path / "idle.out").read_text() == ""


@pytest.mark.parametrize(
    "end", ["pass", "os.kill(os.getpid(), signal.SIGTERM)", "os._exit(0)"]
)
def test_who_ends_is_no_longer_listed(end, server, program, godot_run, registered):
    done = program(
        f"""
        import logging, os, signal, time
        logging.warning("here")
        time.sleep(3)
        {end}
        """,
        *godot_run,
        GODOT_REDIS_URL=server.url,
    )
    assert done.returncode in (0, -15)
    assert registered(0) == []
