"""However a process ends: its lines arrive, its end is as it is without us."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time

import pytest
from fix_launch import BIN, TRACED, WAYS

LOGGING = """
    import atexit, asyncio, logging, os, signal, sys, threading, time
    logging.basicConfig(level=logging.INFO, format="%(message)s")
"""
LOGGING += TRACED

# what the program does -> the lines that must be there
ENDS = {
    "at its last line": ("log.info('a')", ["a"]),
    "by sys.exit": ("log.info('a'); sys.exit(3)", ["a"]),
    "by sys.exit with a text": ("log.info('a'); sys.exit('sorry')", ["a"]),
    "by os._exit": ("log.info('a'); os._exit(3)", ["a"]),
    "by another program in its place": (
        "log.info('a'); os.execvp('true', ['true'])", ["a"],
    ),
    "after no such program was found": (
        """
    log.info("a")
    try:
        os.execvp("no-such-program", ["no-such-program"])
    except FileNotFoundError:
        log.info("b")
        """,
        ["a", "b"],
    ),
    "by an exception at import": ("log.info('a'); import no_such_module", ["a"]),
    "by its own SIGTERM": (
        "log.info('a'); os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", ["a"],
    ),
    "by KeyboardInterrupt": (
        "log.info('a'); signal.raise_signal(signal.SIGINT)", ["a"],
    ),
    "in a callback of atexit": (
        "atexit.register(log.info, 'late'); log.info('a')", ["a", "late"],
    ),
    "in an atexit callback that exits": (
        "atexit.register(os._exit, 4); log.info('a')", ["a"],
    ),
    "in a thread that outlives main": (
        """
    def work():
        time.sleep(0.3)
        log.info("late")
    threading.Thread(target=work).start()
    log.info("a")
        """,
        ["a", "late"],
    ),
    "in a thread pool at exit": (
        """
    from concurrent.futures import ThreadPoolExecutor
    pool = ThreadPoolExecutor(1)
    def work(n):
        time.sleep(0.05)
        log.info("%d", n)
    for n in range(6):
        pool.submit(work, n)
    log.info("a")
        """,
        ["a", "0", "1", "2", "3", "4", "5"],
    ),
    "in a finalizer": (
        """
    class Late:
        def __del__(self, log=log):
            log.info("late")
    late = Late()
    log.info("a")
        """,
        ["a", "late"],
    ),
    "logging in a signal's handler": (
        """
    signal.signal(signal.SIGUSR1, lambda *_: log.info("handler"))
    for n in range(100):
        log.info("%d", n)
        os.kill(os.getpid(), signal.SIGUSR1)
        """,
        [line for n in range(100) for line in (str(n), "handler")],
    ),
    "in its own handler of SIGTERM": (
        """
    def stop(number, frame):
        log.info("stopping")
        sys.exit(5)
    signal.signal(signal.SIGTERM, stop)
    os.kill(os.getpid(), signal.SIGTERM)
        """,
        ["stopping"],
    ),
    "with SIGTERM ignored": (
        """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGTERM)
    log.info("a")
        """,
        ["a"],
    ),
    "with SIGTERM's default taken back": (
        """
    def stop(number, frame):
        log.info("stopping")
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    signal.signal(signal.SIGTERM, stop)
    os.kill(os.getpid(), signal.SIGTERM)
        """,
        ["stopping"],
    ),
}  # fmt: skip # a table


IN_CODE_TOO = {
    "at its last line",
    "by os._exit",
    "by its own SIGTERM",
    "in a finalizer",
}


@pytest.mark.parametrize("end", ENDS)
def test_a_program_that_ends(end, alike, kept, traced):
    does, expected = ENDS[end]
    ways = WAYS if end in IN_CODE_TOO else WAYS[:2]
    for running in alike(f"{LOGGING}    {does.strip()}\n", ways=ways):
        assert sorted(kept(running)) == sorted(expected), running.way
        assert sorted(traced(running)) == sorted(expected), running.way


def test_callbacks_registered_before_us_are_heard_though_they_run_last(alike, stored):
    source = """
        import atexit, logging
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        log = logging.getLogger("shop")
        atexit.register(log.info, "first registered")
        CONFIGURE
        atexit.register(log.info, "last registered")
        log.info("a")
    """
    for running in alike(source):
        assert [line.body for line in stored(running)] == [
            "a", "last registered", "first registered",
        ]  # fmt: skip # in order


def test_a_daemon_thread_that_logs_until_the_end_loses_nothing_before_it(launch, kept):
    source = f"""{LOGGING}
    def work(n=0):
        while True:
            log.info("%d", n)
            n += 1
            time.sleep(0.0002)
    threading.Thread(target=work, daemon=True).start()
    time.sleep(0.5)
    """
    both = [launch(source, way=way) for way in ("run", "configure")]
    for running in both:
        outcome = running.outcome()
        assert outcome.status == 0
        printed = outcome.err.splitlines()
        assert [line for line in printed if not line.isdecimal()] == []
        bodies = kept(running)
        # The last batch may be in both, under one id: the ledger stores it once.
        # What it logs while the interpreter dies around it may be printed alone.
        assert set(bodies) >= set(printed[:-1])


SITS = {
    "time.sleep": "time.sleep(60)",
    "a lock": "lock = threading.Lock(); lock.acquire(); ready(); lock.acquire()",
    "an event": "threading.Event().wait()",
    "asyncio": "asyncio.run(asyncio.sleep(60))",
    "a join": "threading.Thread(target=time.sleep, args=[60]).start(); join()",
    "a busy loop": "[None for _ in iter(int, 1)]",
    "a child of subprocess": "subprocess.run(['sleep', '60'])",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finds_the_main_thread_wherever_it_sits(number, launch, stored):
    def source(does: str) -> str:
        return f"""{LOGGING}
    import asyncio, subprocess  # now: nobody says what a signal does to an import
    def ready():
        print("ready", flush=True)
    def join():
        for thread in threading.enumerate()[1:]:
            if not thread.daemon:
                thread.join()
    log.info("a")
    ready()
    {does}
    """

    chosen = [name for name in SITS if number == signal.SIGTERM or name != "a join"]
    for plain_and_ours in (chosen[:4], chosen[4:]):
        both = [
            (name, launch(source(SITS[name]), way=way))
            for name in plain_and_ours for way in ("plain", "run")
        ]  # fmt: skip # pairs
        for _, running in both:
            running.says("ready")
        time.sleep(0.3)
        for _, running in both:
            running.send(number)
        for (name, plain), (_, ours) in zip(both[::2], both[1::2], strict=True):
            assert plain.outcome(10).status == -number, name
            assert ours.outcome(10) == plain.outcome(), name
            assert [line.body for line in stored(ours)] == ["a"], name


def test_the_application_sees_and_takes_sigterms_default_as_if_we_were_not_there(alike):
    source = f"""{LOGGING}
    print(signal.getsignal(signal.SIGTERM))
    print(signal.signal(signal.SIGTERM, signal.SIG_IGN))
    print(signal.signal(signal.SIGTERM, signal.SIG_DFL))
    print(signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    """
    alike(source, common=lambda text: text.partition(" at 0x")[0])


def test_the_first_process_of_a_container_lives_on_after_sigterm(launch, stored):
    """The kernel lets no default action end it; a flush must not change that."""
    isolate = shutil.which("unshare")
    works = isolate and subprocess.run([isolate, "-pf", "--mount-proc", "true"])
    if not works or works.returncode:
        pytest.skip("no right to make a process the first of a namespace")
    source = f"""{LOGGING}
    for n in range(2):
        log.info("%d", n)
        os.kill(os.getpid(), signal.SIGTERM)
    print(os.getpid())
    """
    both = [
        launch(source, isolate, "-pf", "--mount-proc", *ours, sys.executable, "shop.py",
               way="plain")
        for ours in ([], [BIN / "godot-otel", "run", "--"])
    ]  # fmt: skip # the program with and without us
    for running in both:
        outcome = running.outcome()
        assert (outcome.status, outcome.out) == (0, "1\n"), outcome
    assert [line.body for line in stored(both[1])] == ["0", "1"]
