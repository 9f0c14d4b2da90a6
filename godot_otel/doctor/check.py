"""What one check found: the shape that every part of the doctor yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Check:
    """A finding; never with a password."""

    level: Level
    about: str
    what: str
    do: str = ""
    """What somebody should do; empty where nothing is to be done."""


def ok(about: str, what: str) -> Check:
    """Say that something is as it should be."""
    return Check("ok", about, what)


def warning(about: str, what: str, do: str) -> Check:
    """Say what works, and not as well as it could, or could not be checked."""
    return Check("warning", about, what, do)


def problem(about: str, what: str, do: str) -> Check:
    """Say what does not work."""
    return Check("problem", about, what, do)


def clock(about: str, whose: str, seconds: float) -> Check:
    """Judge how many *seconds* the clock of *whose* is ahead of ours."""
    if abs(seconds) < 2:
        return ok(about, f"the clock of {whose} agrees with this machine's")
    side = "ahead of" if seconds > 0 else "behind"
    return warning(
        about,
        f"the clock of {whose} is {abs(seconds):,.0f} s {side} this machine's",
        "set both by NTP: times and ages of records are off by as much",
    )
