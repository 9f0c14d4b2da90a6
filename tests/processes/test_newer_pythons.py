"""Python 3.12 and 3.13: they refuse threads at their end; nothing is lost by that."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from fix_launch import TRACED

from godot_otel_exporter import lifecycle  # the installed one is a copy of it

pytestmark = pytest.mark.slow
CHECKOUT = Path(lifecycle.__file__).parents[3]
HEAD = """
    import atexit, logging, multiprocessing, os, sys, threading, time
    logging.basicConfig(level=logging.INFO, format="%(message)s")
"""
HEAD += TRACED
PROGRAMS = {
    "last line": ("log.info('a')", ["a"], None),
    "atexit alone": ("atexit.register(log.info, 'late')", ["late"], None),
    "atexit": ("atexit.register(log.info, 'late'); log.info('a')", ["a", "late"], None),
    "os._exit": ("log.info('a'); os._exit(3)", ["a"], None),
    "sigterm": (
        "log.info('a'); print('ready', flush=True); time.sleep(60)",
        ["a"],
        signal.SIGTERM,
    ),
    "join": (
        """
    thread = threading.Thread(target=time.sleep, args=[60])
    thread.start()
    log.info("a")
    print("ready", flush=True)
    thread.join()
        """,
        ["a"],
        signal.SIGTERM,
    ),
    "child": (
        """
    def work():
        log.info("child")
        time.sleep(0.05)
    log.info("queued")
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
        """,
        ["queued", "child"],
        None,
    ),
    "executor": (
        """
    from concurrent.futures import ThreadPoolExecutor
    pool = ThreadPoolExecutor(1)
    for n in range(3):
        pool.submit(lambda n=n: (time.sleep(0.1), log.info("%d", n)))
        """,
        ["0", "1", "2"],
        None,
    ),
    "finalizer": (
        """
    class Late:
        def __del__(self, log=log):
            log.info("late")
    late = Late()
    log.info("a")
        """,
        ["a", "late"],
        None,
    ),
}


@pytest.fixture(scope="module", params=["3.12.1", "3.13.0"])
def newer(request, tmp_path_factory) -> Path:
    """The programs of a virtual environment with this checkout installed."""
    version = request.param
    folder = tmp_path_factory.mktemp("newer")
    environ = os.environ | {"PYENV_VERSION": version}
    name = "python" + version.rpartition(".")[0]
    try:
        made = subprocess.run([name, "-m", "venv", folder], env=environ, timeout=120)
    except FileNotFoundError:
        pytest.skip(f"there is no {name} here")
    if made.returncode:
        pytest.skip(f"{name} cannot make a virtual environment")
    subprocess.run(
        [folder / "bin/pip", "install", "-q", "--disable-pip-version-check", CHECKOUT],
        check=True, timeout=300,
    )  # fmt: skip # one command
    return folder / "bin"


def test_ends_and_children(newer, launch, kept, traced):
    started = {}
    for name, (does, _, _) in PROGRAMS.items():
        for way in ("plain", "run"):
            ours = [newer / "godot-otel", "run", "--"] if way == "run" else []
            started[name, way] = launch(
                f"{HEAD}    {does.strip()}\n", *ours, newer / "python", "shop.py",
                way="plain",
            )  # fmt: skip # one program
            number = PROGRAMS[name][2]
            if number:
                started[name, way].says("ready")
                started[name, way].send(number)
    for name, (_, expected, _) in PROGRAMS.items():
        plain, ours = (started[name, way] for way in ("plain", "run"))
        before, after = plain.outcome(), ours.outcome()
        first, _, rest = after.err.partition("\n")
        assert first.startswith("godot-otel: service"), name
        assert (after.status, after.out, rest) == (
            before.status,
            before.out,
            before.err,
        ), name
        assert sorted(kept(ours)) == sorted(expected), name
        assert sorted(traced(ours)) == sorted(expected), name
