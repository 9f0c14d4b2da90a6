"""What the exporter has to say about itself: on stderr, and seldom.

Never through a logger the application can see: a record about a failed export would be
exported, fail, and make the next one.
"""

from __future__ import annotations

import logging
import time

INTERVAL_SECONDS = 60.0

# Not getLogger(): outside of the tree nothing propagates, and dictConfig, which
# disables every existing logger by default, cannot silence it.
_logger = logging.Logger("godot_otel_exporter")
_logger.propagate = False
_last: dict[str, float] = {}


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("godot-otel: %(message)s"))


def report(reason: str, message: str, *arguments: object) -> None:
    """Say *message* now, unless *reason* was reported within the last minute."""
    now = time.monotonic()
    if now - _last.get(reason, -INTERVAL_SECONDS) >= INTERVAL_SECONDS:
        _last[reason] = now
        _say(message, *arguments)


def report_once(reason: str, message: str, *arguments: object) -> None:
    """Say *message* unless *reason* was ever reported in this process."""
    if reason not in _last:
        _last[reason] = time.monotonic()
        _say(message, *arguments)


def _say(message: str, *arguments: object) -> None:
    if not _logger.handlers:
        _logger.addHandler(_Stderr())
    _logger.warning(message, *arguments)
