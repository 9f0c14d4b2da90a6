"""A level that holds for a while: what may be set, for whom, and who has applied it.

What the command line and the MCP tool have in common; both work on the level board.
Standard library only, as the module it stands on.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterable

from godot_otel.levels import MAX_TTL_MS, Instance
from godot_otel.queue import Producer

SILENT_SECONDS = 75.0  # two and a half times what an application lets pass
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_POLL_SECONDS = 0.2


def target(text: str) -> str:
    """Read ``COMPONENT`` or ``COMPONENT/LOGGER``; raise ValueError for neither."""
    component, _, logger = text.partition("/")
    if not component or not text.isprintable() or (logger == "" and "/" in text):
        raise ValueError(f"{text!r} is neither COMPONENT nor COMPONENT/LOGGER")
    return text


def seconds(text: str) -> float:
    """Read for how long a level holds; raise ValueError for what is none."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None:
        raise ValueError(f"{text!r} is no time such as 30s, 15m or 2h")
    found = int(match[1]) * UNITS[match[2]]
    if not 1 <= found <= MAX_TTL_MS / 1000:
        raise ValueError(f"{text!r} is not between 1s and 7d")
    return float(found)


def running(producer: Producer) -> list[Instance]:
    """Read who was heard of lately; raises as ``Producer.instances``."""
    return [one for one in producer.instances() if one.age_seconds <= SILENT_SECONDS]


def hearing(producer: Producer, name: str) -> list[Instance]:
    """Read whom a target reaches."""
    return [one for one in running(producer) if one.hears(name)]


def wait(
    producer: Producer,
    name: str,
    level: str | None,
    timeout: float,
    told: Callable[[Instance], None] = lambda one: None,
) -> tuple[list[Instance], set[str]]:
    """Wait until each instance has applied *level* to *name*; None: none of ours.

    *told* is called for each, once, when it has.

    Returns:
        All of them, and the ids of those that had not when the time was over.
    """
    ends = time.monotonic() + timeout
    done: set[str] = set()
    while True:
        found = hearing(producer, name)
        for one in found:
            if one.id not in done and one.applied.get(name) == level:
                told(one)
                done.add(one.id)
        late = {one.id for one in found} - done
        if not late or time.monotonic() >= ends:
            return found, late
        time.sleep(_POLL_SECONDS)


def unknown(name: str, known: list[Instance]) -> str:
    """Say that nobody of *known* is called so, and who there is."""
    names = {one.service for one in known}
    if not names:
        return "no application is registered with this queue"
    component = plain(name.partition("/")[0])
    return f"no running application is called {component}{near(name, names)}"


def near(name: str, names: Iterable[str]) -> str:
    """Name what could have been meant, or what there is."""
    known = {one.casefold(): one for one in names}
    wanted = (name.casefold(), name.partition("/")[0].casefold())
    for text in wanted:
        if near := difflib.get_close_matches(text, known, 3, 0.6):
            found = " or ".join(known[one] for one in near)
            return f", did you mean {plain(found)}?"
    some = plain(", ".join(sorted(known.values())[:10]))
    return f" (there is {some})" if some else ""


def plain(text: str) -> str:
    """Text of others without what could control a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
