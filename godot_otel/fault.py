"""Places where a process kills itself, so that tests can say where it died.

``GODOT_FAULT=POINT:COUNT`` sends SIGKILL to the process itself the COUNT-th time it
passes POINT. No setting: tests alone set it. Standard library only, and nothing but an
empty function while the variable is unset: this module is imported inside the user's
application.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

VARIABLE = "GODOT_FAULT"

POINTS = (
    # the application
    "after_batch_id", "after_xadd_sent",
    "spool_tmp_written", "spool_renamed", "spool_sent_not_unlinked",
    # the collector
    "after_read", "after_ledger", "mid_copy", "mid_dead_letter", "before_commit",
    "after_commit_before_ack", "after_ack_before_del",
    # its maintenance
    "partition_created_not_attached", "detached_not_dropped", "packed_in_part",
)  # fmt: skip # in the order in which a record passes them


def _never(name: str) -> None:
    """Do nothing."""


def _armed(text: str) -> Callable[[str], None]:
    chosen, _, count = text.partition(":")
    if chosen not in POINTS or not count.isdecimal() or int(count) < 1:
        raise ValueError(
            f"{VARIABLE}: {text!r} is no POINT:COUNT with a POINT of"
            f" {', '.join(POINTS)}"
        )
    left = int(count)

    def point(name: str) -> None:
        nonlocal left
        if name == chosen:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return point


_text = os.environ.get(VARIABLE, "")
point: Callable[[str], None] = _armed(_text) if _text else _never
"""Pass the place of that name, one of POINTS."""
