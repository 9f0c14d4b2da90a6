"""Log lines that clients can cause at will: one a minute of each kind."""

from __future__ import annotations

import logging
import time
from collections import Counter

log = logging.getLogger(__name__)

INTERVAL = 60.0


class Reports:
    """Logs a warning unless one with the same action was logged a short while ago."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._unsaid: Counter[str] = Counter()

    def warn(self, action: str, sentence: str, *arguments: object) -> None:
        """Log *sentence* under *action*, at most once a minute, with how often."""
        now = time.monotonic()
        if now - self._last.get(action, -INTERVAL) < INTERVAL:
            self._unsaid[action] += 1
            return
        self._last[action] = now
        if unsaid := self._unsaid.pop(action, 0):
            sentence += f" (and {unsaid} times since it was last said)"
        log.warning(sentence, *arguments, extra={"action": action})
