"""``state.json``: where the running stack of a data directory can be reached.

Written by ``godot-otel up`` once everything works, removed at its end, readable by
its owner alone because it holds passwords. Standard library only: applications read
it to find their queue.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from godot_otel import settings

FILE = "state.json"


def read(data_dir: Path) -> dict[str, Any] | None:
    """Return the state of *data_dir*; None when no stack runs or none can be read."""
    try:
        state = json.loads((data_dir / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def find(*names: str, data_dir: Path | None = None) -> str | None:
    """The first of these settings that is set, here or by a running stack.

    A data directory that the caller names goes before the environment.
    """
    running = read(data_dir or settings.data_dir()) or {}
    theirs = [running.get(name) for name in names]
    ours = [] if data_dir else [settings.value(name) for name in names]
    return next((str(value) for value in ours + theirs if value), None)


def write(data_dir: Path, state: dict[str, Any]) -> None:
    """Write *state* whole or not at all, readable by the owner alone."""
    partial = data_dir / (FILE + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(state, file, indent=2)
    partial.replace(data_dir / FILE)


def remove(data_dir: Path) -> None:
    """Forget the state; called before anything it names is stopped."""
    (data_dir / FILE).unlink(missing_ok=True)
