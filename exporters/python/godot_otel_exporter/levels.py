"""Levels that change at run time: what is exported, never what is printed.

A level in force stands on its logger as a ``LiveLevel``, an int that remembers what
the application had chosen there: records are created for whichever of the two wants
more, and ``printed`` and ``exported`` sort them out. When it ends, what the application
chose stands there again; what the application sets meanwhile is taken over.

``printed`` and ``exported`` run in every thread that logs. Everything else runs in one
background thread.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

from godot_otel.levels import LEVELS, LevelBoard

_LOOK_SECONDS = 2.0  # for new loggers, and levels the application set meanwhile
_FADE_SECONDS = 1.0
_MOST_KEPT = 20
_MOST_CHARACTERS = 200

_root = logging.getLogger()
_names = {number: name for name, number in LEVELS.items()}


class _FromInfo(int):
    """Root's level while nobody chose one: INFO for export, WARNING for the console."""


_FROM_INFO = _FromInfo(logging.INFO)
_WARNING = logging.WARNING


class LiveLevel(int):
    """The level of a logger that has a live one: the lower of two.

    It compares by what holds now, not by its number: an application may have kept one
    and put it back later, or changed a logger above this one.
    """

    logger: logging.Logger
    before: int
    """What the application chose: plain, NOTSET or nobody's choice."""
    export: int | None
    """None once the live level has ended."""

    def __new__(
        cls, logger: logging.Logger, before: int, export: int | None
    ) -> LiveLevel:
        """Put *export* beside *before*, *logger*'s own level."""
        console = _console(logger, before)
        # Above 0, which would mean that this logger has no level.
        least = max(1, console if export is None else min(console, export))
        self = super().__new__(cls, least)
        self.logger, self.before, self.export = logger, before, export
        return self

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (self.console,)

    @property
    def console(self) -> int:
        """From which level on the application wants records printed."""
        return _console(self.logger, self.before)

    def _least(self) -> int:
        if self.export is None:  # as if it were not here
            level = self.before or _level(self.logger.parent)
            return level._least() if isinstance(level, LiveLevel) else int(level)
        return min(self.console, self.export)

    def __le__(self, other: int) -> bool:
        return self._least() <= other

    def __lt__(self, other: int) -> bool:
        return self._least() < other

    def __ge__(self, other: int) -> bool:
        return self._least() >= other

    def __gt__(self, other: int) -> bool:
        return self._least() > other


LIVE: dict[logging.Logger, LiveLevel] = {}
"""Where live levels stand; empty most of the time, which is all that a call tests."""


def listen_from_info() -> None:
    """Let root create records from INFO on if nobody ever chose its level."""
    if _root.level.__class__ is int and _root.level == logging.WARNING:
        _root.setLevel(_FROM_INFO)


def printed(logger: logging.Logger, record: logging.LogRecord) -> bool:
    """Whether *record* would have got this far without us."""
    if not LIVE and (
        record.levelno >= _WARNING
        or (logger.level and logger.level.__class__ is int)
        or _root.level.__class__ is int
    ):
        return True
    level: int = 0
    at: logging.Logger | None = logger
    while not level and at is not None:  # written out: a call would cost as much
        level, at = at.level, at.parent
    if level.__class__ is int:
        return True
    if isinstance(level, LiveLevel):
        return record.levelno >= level.console
    return level is not _FROM_INFO or record.levelno >= _WARNING


def exported(logger: logging.Logger, record: logging.LogRecord) -> bool:
    """Whether *record*, which was created, is to be exported."""
    if not LIVE:
        return True
    level = _level(logger)
    if level.__class__ is not LiveLevel:
        return True
    export: int | None = level.export
    return export is None or record.levelno >= export


def _level(logger: logging.Logger | None) -> int:
    """Return the level in force, as it stands on the logger or one above."""
    while logger is not None:
        level = logger.level
        if level:
            return level
        logger = logger.parent
    return logging.NOTSET


def _console(logger: logging.Logger, before: int) -> int:
    """Say from which level on *logger* prints, with *before* as its own level."""
    level, at = before, logger.parent
    while not level and at is not None:
        level, at = _own(at), at.parent
    return logging.WARNING if level.__class__ is _FromInfo else int(level)


def _own(logger: logging.Logger) -> int:
    """What the application chose for *logger* itself."""
    level = logger.level
    return level.before if isinstance(level, LiveLevel) else level


def _place(logger: logging.Logger, level: int) -> None:
    # Not the logger's own method: a subclass may set its handlers' levels as well.
    logging.Logger.setLevel(logger, level)


class Levels:
    """The live levels of one service in this process.

    Plain data, no lock: a forked child goes on with the same levels, and what a fork
    cut in two is mended by the next look.
    """

    def __init__(self, service: str) -> None:
        self.version = 0
        self._service = service
        self._wanted: dict[str, tuple[str, float]] = {}  # target -> level, its end
        self._absent: list[str] = []
        self._mine: dict[logging.Logger, LiveLevel] = {}
        self._fading: dict[logging.Logger, float] = {}
        self._next_look: float | None = None

    @property
    def next_expiry(self) -> float | None:
        """When ``tick`` has something to do, on the monotonic clock; None: never."""
        ends = [end for _, end in self._wanted.values()]
        times = [*ends, *self._fading.values()]
        if self._wanted and self._next_look is not None:
            times.append(self._next_look)
        return min(times, default=None)

    def learn(self, board: LevelBoard) -> None:
        """Apply what *board* says about this service, and revert what it does not."""
        now = time.monotonic()
        self._wanted = {
            target: (level, now + seconds)
            for target, (level, seconds) in board.levels.items()
            if level in LEVELS and self._logger_named(target) is not None
        }
        self.version = board.version
        self._look(now)

    def tick(self) -> bool:
        """Revert what has ended; take over what the application changed meanwhile.

        Returns:
            Whether there is something new to register.
        """
        now, told = time.monotonic(), (self._wanted, self._absent)
        self._wanted = {
            t: (n, end) for t, (n, end) in self._wanted.items() if end > now
        }
        self._look(now)
        return told != (self._wanted, self._absent)

    def close(self) -> None:
        """Revert everything at once."""
        self._wanted = {}
        self._look(time.monotonic())
        self._look(float("inf"))

    def facts(self) -> dict[str, Any]:
        """Describe this process and what it has applied, for ``Producer.register``."""
        applied = {target: level for target, (level, _) in self._wanted.items()}
        return {
            "service": self._service,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "level_version": self.version,
            "level": _name(_exports_from(_root)),
            "applied": applied,
            "absent": self._absent,
            "kept": self._kept() if self._service in applied else {},
        }

    def _look(self, now: float) -> None:
        wanted: dict[logging.Logger, int] = {}
        absent = []
        for target, (level, _) in self._wanted.items():
            places = self._places(target)
            wanted |= dict.fromkeys(places, LEVELS[level])
            if not places:
                absent.append(target)
        self._absent = absent
        for logger, export in wanted.items():
            self._apply(logger, export)
        for logger in [one for one in self._mine if one not in wanted]:
            self._revert(logger, now)
        self._next_look = now + _LOOK_SECONDS

    def _apply(self, logger: logging.Logger, export: int) -> None:
        self._fading.pop(logger, None)
        old = LIVE.get(logger)
        if old is not None and old is logger.level and old.export == export:
            return
        level = LiveLevel(logger, _own(logger), export)
        # Known before it stands there: ``printed`` must look as soon as it does.
        LIVE[logger] = self._mine[logger] = level
        _place(logger, level)
        if old is not None:
            old.export = None

    def _revert(self, logger: logging.Logger, now: float) -> None:
        """End a live level, in two steps.

        Records that were created a moment ago are still on their way; with the
        application's level back at once they would be printed.
        """
        level = self._mine[logger]
        if level.export is not None:
            level.export = None
            if logger.level is level:
                _place(logger, level)  # logging caches what is enabled
        ends = self._fading.setdefault(logger, now + _FADE_SECONDS)
        if now >= ends:
            if logger.level is level:
                _place(logger, level.before)
            del self._mine[logger], self._fading[logger]
            if LIVE.get(logger) is level:
                del LIVE[logger]

    def _logger_named(self, target: str) -> str | None:
        """The logger's name in *target*, "root" for all; None: another service's."""
        if target == self._service:
            return "root"
        service, name = target[: len(self._service)], target[len(self._service) :]
        return name[1:] if service == self._service and name[:1] == "/" else None

    def _places(self, target: str) -> list[logging.Logger]:
        """The loggers on which a target's level stands.

        A logger that does not exist is not made: its class is the application's to
        choose. Until then the topmost ones below it, if they have no own level.
        """
        name = self._logger_named(target)
        if name == "root":
            return [_root]
        known = logging.Logger.manager.loggerDict.copy()
        found = known.get(name or "")
        if isinstance(found, logging.Logger):
            return [found]
        return [logger for logger in _topmost(known, f"{name}.") if not _own(logger)]

    def _kept(self) -> dict[str, str]:
        """Loggers that the component's level does not reach, and their own levels."""
        live = LEVELS[self._wanted[self._service][0]]
        kept = [
            (name[:_MOST_CHARACTERS], _name(logger.level))
            for name, logger in sorted(logging.Logger.manager.loggerDict.copy().items())
            if isinstance(logger, logging.Logger)
            and logger not in LIVE
            and logger.level not in (logging.NOTSET, live)
        ]
        return dict(kept[:_MOST_KEPT])


def _topmost(known: dict[str, Any], prefix: str) -> Iterator[logging.Logger]:
    for name, logger in known.items():
        if not isinstance(logger, logging.Logger) or not name.startswith(prefix):
            continue
        if logger.parent is None or not logger.parent.name.startswith(prefix):
            yield logger


def _exports_from(logger: logging.Logger) -> int:
    level = _level(logger)
    if not isinstance(level, LiveLevel):
        return int(level)
    return level._least() if level.export is None else level.export


def _name(level: int) -> str:
    return _names.get(int(level), str(int(level)))
