"""Web servers with workers: every line once, with its trace and its worker."""

from __future__ import annotations

import http.client
import signal
import time

import pytest
from fix_launch import spans
from fix_processes import wait_until
from fix_serving import free_port

APP = """
    import logging, os
    CONFIGURE
    from flask import Flask
    log = logging.getLogger("app")
    app = Flask(__name__)
    @app.get("/<int:n>")
    def number(n):
        log.warning("request %d", n)
        return str(os.getpid())
"""
FASTAPI = """
    import logging, os
    CONFIGURE
    from fastapi import FastAPI
    log = logging.getLogger("app")
    app = FastAPI()
    @app.get("/bad/{n}")
    async def bad(n: int):
        raise RuntimeError(f"boom {n}")
    @app.get("/{n}")
    async def number(n: int):
        log.warning("request %d", n)
        return os.getpid()
"""
ALL = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "celery,aiohttp-client,requests"}


def get(port: int, path: str) -> tuple[int, str, str]:
    """Return status, trace id and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    trace = (answer.headers["traceresponse"] or "--").split("-")[1]
    body = answer.read().decode()
    connection.close()
    return answer.status, trace, body


def listening(running, port: int) -> None:
    def answers() -> bool:
        assert not running.ended(), running.printed()
        try:
            return bool(get(port, "/0"))
        except OSError:
            return False

    wait_until(answers, "an answer")


def shape(text: str) -> list[str]:
    """The lines without what differs from run to run."""
    import re

    kept = re.sub(r"\d+", "N", text).splitlines()
    return sorted({line for line in kept if line.strip()})


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["plain", "preload"])
@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGHUP], ids=["TERM", "HUP"])
def test_gunicorn(preload, last, launch, stored, queue):
    ports = {}
    both = []
    for way in ("plain", "run"):
        port = free_port()
        command = (
            "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", *preload,
            "--access-logfile", "-", "shop:app",
        )  # fmt: skip # one command
        both.append(launch(APP, *command, way=way, **ALL))
        ports[both[-1]] = port
    for running in both:
        listening(running, ports[running])
    workers, traces = {}, {}
    for running in both:
        for n in range(1, 31):
            _, traces[n], workers[n] = get(ports[running], f"/{n}")
        running.send(last)
        if last == signal.SIGHUP:
            running.says("Booting worker", times=4)
            wait_until(
                lambda r=running: "(" not in get(ports[r], "/99")[2], "a new worker"
            )
            running.send(signal.SIGTERM)
    plain, ours = (running.outcome() for running in both)
    assert ours.status == plain.status
    assert shape(ours.out) == shape(plain.out)
    assert shape(ours.err) == shape(plain.err)
    found = stored(both[1])
    requests = {
        int(line.body.split()[1]): line for line in found
        if line.logger == "app" and line.body not in ("request 0", "request 99")
    }  # fmt: skip # one filter
    assert {n: line.trace_id for n, line in requests.items()} == traces
    assert len([line for line in found if line.body in
                {f"request {n}" for n in traces}]) == 30  # fmt: skip # a sum
    served = [span.trace_id.hex() for span in spans(queue, both[1].service)]
    assert len(set(served)) == len(served)
    assert set(served) >= set(traces.values())
    access = [line for line in found if line.logger == "gunicorn.access"]
    assert len([one for one in access if "/0 " not in one.body and "/99 " not in
                one.body]) == 30  # fmt: skip # a sum
    assert {line.trace_id for line in access} >= set(traces.values())
    errors = [line.body for line in found if line.logger == "gunicorn.error"]
    printed = ours.err.count(" [INFO] ") + ours.err.count(" [WARNING] ")
    assert len(errors) == printed + ours.err.count(" [ERROR] ")
    assert any("Shutting down: Master" in error for error in errors)
    pids = {n: requests[n].instance for n in requests}
    assert {(workers[n], pids[n]) for n in pids}.__len__() == len(set(workers.values()))
    assert len({line.instance for line in found}) >= 3  # the master and two workers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_flask_run(number, launch, stored):
    both, ports = [], []
    for way in ("plain", "run"):
        ports.append(free_port())
        command = ("flask", "--app", "shop", "run", "--port", str(ports[-1]))
        both.append(launch(APP, *command, way=way, **ALL))
    traces = []
    for running, port in zip(both, ports, strict=True):
        listening(running, port)
        traces = [get(port, f"/{n}")[1] for n in range(1, 6)]
        running.send(number)
    plain, ours = (running.outcome() for running in both)
    assert ours.status == plain.status
    if number == signal.SIGTERM:
        assert ours.status == -number
    assert (shape(ours.out), shape(ours.err)) == (shape(plain.out), shape(plain.err))
    found = stored(both[1])
    assert [line.trace_id for line in found if line.logger == "app"][1:] == traces
    werkzeug = [line for line in found if line.logger == "werkzeug"]
    access = [line for line in werkzeug if "GET /" in line.body]
    assert [line.trace_id for line in access][1:] == traces
    assert any("Running on" in line.body for line in werkzeug)
    assert "\x1b" not in "".join(line.body for line in found)


def test_uvicorn_with_workers(launch, stored):
    both, ports = [], []
    for way in ("plain", "run"):
        ports.append(free_port())
        command = ("uvicorn", "--workers", "2", "--port", str(ports[-1]), "shop:app")
        both.append(launch(FASTAPI, *command, way=way, **ALL))
    for running, port in zip(both, ports, strict=True):
        listening(running, port)
        running.says("Application startup complete", times=2)
        good = [get(port, f"/{n}")[1] for n in range(1, 11)]
        bad = [get(port, f"/bad/{n}")[:2] for n in range(1, 4)]
        time.sleep(0.1)
        running.send(signal.SIGTERM)
    plain, ours = (running.outcome() for running in both)
    assert ours.status == plain.status
    assert shape(ours.out) == shape(plain.out)
    assert ours.err.count("RuntimeError: boom") == plain.err.count("RuntimeError: boom")
    found = stored(both[1])
    requests = [line for line in found if line.logger == "app"]
    assert sorted(one.trace_id for one in requests if one.body != "request 0") == (
        sorted(good)
    )
    assert {status for status, _ in bad} == {500}
    failed = [line for line in found if "Exception in ASGI" in line.body]
    assert {line.logger for line in failed} == {"uvicorn.error"}
    assert sorted(line.trace_id for line in failed) == sorted(one for _, one in bad)
    access = [line for line in found if line.logger == "uvicorn.access"]
    assert len(access) == len(requests) + 3
    started = [line for line in found if line.body.startswith("Started server process")]
    assert len({line.instance for line in started}) == len(started) == 2
    stopped = [line for line in found if line.body.startswith("Finished server")]
    assert len(stopped) == 2
