"""How running applications and their levels look: for people, and as JSON."""

from __future__ import annotations

import os
import sys
from typing import Any

from godot_otel.levels import Instance, LevelBoard
from godot_otel.override import SILENT_SECONDS, UNITS, plain

GREEN, YELLOW, DIM = 32, 33, 2


def state(one: Instance, board: LevelBoard) -> str:
    """Say what an instance has applied, and what it has not yet."""
    if one.age_seconds > SILENT_SECONDS:
        return colour(f"; silent for {duration(one.age_seconds)}", DIM)
    parts = [f"{target} {level}" for target, level in one.applied.items()]
    text = f"; applied: {plain(', '.join(parts))}" if parts else ""
    if waits := waits_for(one, board):
        text += colour(f"; not yet applied: {plain(', '.join(waits))}", YELLOW)
    return text


def waits_for(one: Instance, board: LevelBoard) -> list[str]:
    """Name the targets that hold and that an instance has not applied yet."""
    return [
        target
        for target, (level, _) in sorted(board.levels.items())
        if one.hears(target) and one.applied.get(target) != level
    ]


def facts(one: Instance) -> dict[str, Any]:
    """Give an instance as JSON has it."""
    return {
        "instance": one.id, "component": one.service, "host": one.host, "pid": one.pid,
        "level": one.level, "applied": one.applied, "absent": list(one.absent),
        "kept": one.kept, "age_seconds": round(one.age_seconds, 1),
    }  # fmt: skip # who, what, since when


def who(one: Instance) -> str:
    """Name an instance: its component, host and process."""
    return plain(f"{one.service} {one.host} pid {one.pid}")


def duration(seconds: float) -> str:
    """Say a duration in its largest unit and the one below it: 1h 5m."""
    left = max(0, round(seconds))
    units = [(left // size, unit) for unit, size in reversed(UNITS.items())]
    first = next((i for i, (count, _) in enumerate(units) if count), len(units) - 1)
    parts: list[str] = []
    for _, unit in units[first : first + 2]:
        count, left = divmod(left, UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def colour(text: str, code: int) -> str:
    """Colour text on a terminal."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{code}m{text}\x1b[0m"
