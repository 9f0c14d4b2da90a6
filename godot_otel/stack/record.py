"""Which processes belong to a data directory, for whoever comes after a kill -9."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

from godot_otel.stack import processes

# The order in which they end: readers, writers, then what holds the data.
GROUPS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("mcp", "collector"), 4.0),
    (("redis",), 5.0),
    (("postgres",), 5.0),
)

Born = dict[int, str]
"""A pid and the birth that tells its process from a later one."""


def write(path: Path, parts: Mapping[str, Iterable[int]]) -> None:
    """Note the processes of each part, and this one as ``up``."""
    noted = {"up": [os.getpid()], **parts}
    text = json.dumps(
        {
            name: {pid: processes.birth(pid) for pid in pids}
            for name, pids in noted.items()
        }
    )
    partial = path.with_suffix(".partial")
    partial.write_text(text, "utf-8")
    partial.replace(path)


def read(path: Path) -> dict[str, Born]:
    """Return the processes of each part that still run."""
    try:
        noted = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    living = {
        name: {int(pid): born for pid, born in pids.items() if born}
        for name, pids in noted.items()
    }
    for pids in living.values():
        for pid, born in list(pids.items()):
            if processes.birth(pid) != born:
                del pids[pid]
    return {name: pids for name, pids in living.items() if pids}


def end(path: Path) -> list[str]:
    """End what a killed `up` left behind; return the names of the parts.

    The caller must hold the directory's lock: a living `up` would start them again.
    """
    left = read(path)
    left.pop("up", None)
    for names, timeout in GROUPS:
        born = {pid: text for name in names for pid, text in left.get(name, {}).items()}
        signum = signal.SIGINT if "postgres" in names else signal.SIGTERM
        processes.end_strangers(born, signum, timeout)
    path.unlink(missing_ok=True)
    return list(left)
