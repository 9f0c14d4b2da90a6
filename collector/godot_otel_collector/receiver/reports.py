"""Log lines that clients can cause at will: one a minute of each kind."""

from __future__ import annotations

import logging
import time

log = logging.getLogger(__name__)

INTERVAL = 60.0


class Reports:
    """Logs a warning unless one with the same action was logged a short while ago."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def warn(self, action: str, sentence: str, *arguments: object) -> None:
        """Log *sentence* under *action*, at most once a minute."""
        now = time.monotonic()
        if now - self._last.get(action, -INTERVAL) >= INTERVAL:
            self._last[action] = now
            log.warning(sentence, *arguments, extra={"action": action})
