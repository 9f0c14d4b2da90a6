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
    """Open *path* for appending; above 10 MB, what it holds becomes NAME.1 first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        if path.stat().st_size > LOG_MAX_BYTES:
            path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def last_line(log: Path, size: int = 4096) -> str:
    """Return the last non-empty line of *log*: what a dead process said."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - size))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def wait_or_kill(process: Process, timeout: float) -> None:
    """Wait for *process* to end; kill it after *timeout* seconds."""
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
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


def end_stranger(pid: int, born: str, signum: int, timeout: float) -> None:
    """End a process that is no child of ours, unless its number was recycled."""
    deadline = time.monotonic() + timeout
    with suppress(ProcessLookupError):
        if birth(pid) == born:
            os.kill(pid, signum)
        while birth(pid) == born and time.monotonic() < deadline:
            time.sleep(0.05)
        if birth(pid) == born:
            os.kill(pid, signal.SIGKILL)
        while birth(pid) == born:
            time.sleep(0.05)
