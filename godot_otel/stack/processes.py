"""Operating system processes: started with a log file, ended with patience."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

LOG_MAX_BYTES = 10 * 1024 * 1024

Process = subprocess.Popen[bytes]


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    environ: Mapping[str, str],
    account: pwd.struct_passwd | None = None,
) -> Process:
    """Start *command*, its output appended to *log*, as *account* if one is given.

    It gets a session of its own: Ctrl-C reaches ``up`` alone, which ends the others in
    their order.
    """
    with os.fdopen(_open_log(log), "ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd="/",
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )


def _open_log(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def rotate(log: Path) -> None:
    """Above 10 MB, what *log* holds becomes NAME.1; for before a process starts."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_MAX_BYTES:
            log.replace(log.with_name(log.name + ".1"))


def last_words(log: Path, *, since: int = 0) -> str:
    """Return the line of *log* that says why a process ended.

    That is the last one from byte *since* on, or a FATAL one: Postgres adds hints.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(since, log.stat().st_size - 4096))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line]
    return (fatal or lines or [""])[-1].removeprefix("godot-otel: ")


def wait_or_kill(
    process: Process, timeout: float, signum: int = signal.SIGKILL
) -> None:
    """Wait for *process* to end; after *timeout* seconds send *signum*, then kill."""
    for left, next_signal in ((timeout, signum), (1.0, signal.SIGKILL)):
        try:
            process.wait(left)
            return
        except subprocess.TimeoutExpired:
            process.send_signal(next_signal)
    process.wait()


def birth(pid: int) -> str | None:
    """Return what tells process *pid* from a later one of the same number.

    None when there is no such process, or only its remains.
    """
    if sys.platform == "linux":
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        # The name in parentheses may hold spaces and parentheses itself.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True
    ).stdout.split(maxsplit=1)
    return None if not shown or shown[0].startswith("Z") else shown[1].strip()


def command(pid: int) -> str:
    """Return the command line of process *pid*; empty when there is none."""
    shown = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True
    )
    return shown.stdout.strip()


def end_strangers(born: Mapping[int, str], signum: int, timeout: float) -> None:
    """End processes that are no children of ours, unless their number was recycled.

    *born* maps a pid to the ``birth`` it had; who is there after *timeout* is killed.
    """
    _signal(born, signum)
    deadline = time.monotonic() + timeout
    while _living(born):
        if time.monotonic() > deadline:
            _signal(born, signal.SIGKILL)
        time.sleep(0.05)


def _living(born: Mapping[int, str]) -> list[int]:
    return [pid for pid, known in born.items() if birth(pid) == known]


def _signal(born: Mapping[int, str], signum: int) -> None:
    for pid in _living(born):
        with suppress(ProcessLookupError):
            os.kill(pid, signum)
