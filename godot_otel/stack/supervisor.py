"""Keeps the parts running: what ends is started again, sooner or later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from godot_otel.errors import GodotError
from godot_otel.stack.announce import Announce
from godot_otel.stack.part import Part
from godot_otel.stack.stop_request import StopRequest

FIRST_BACKOFF = 1.0
LAST_BACKOFF = 30.0
STEADY_SECONDS = 60.0  # a part that ran this long is no repeated failure
TICK_INTERVAL = 0.25


@dataclass(slots=True)
class _Watched:
    """A part: ready since a time, or to be launched at one, or else on its way."""

    part: Part
    ready_since: float | None
    launch_at: float | None = None
    late_at: float = 0.0
    backoff: float = FIRST_BACKOFF


class Supervisor:
    """Watches parts that were started and are ready, or else starts them first.

    *launched* is called when a part has a new pid, *ready* when it works again.
    """

    def __init__(
        self,
        parts: Iterable[Part],
        announce: Announce,
        *,
        launched: Callable[[], None],
        ready: Callable[[], None],
        started: bool = True,
    ) -> None:
        now = time.monotonic()
        since, at = (now, None) if started else (None, now)
        self._watched = [_Watched(part, since, launch_at=at) for part in parts]
        self._announce = announce
        self._launched = launched
        self._ready = ready

    def run(self, stop: StopRequest) -> None:
        """Watch until somebody asks to stop."""
        while not stop.wait(TICK_INTERVAL):
            self.tick(time.monotonic())

    def tick(self, now: float) -> None:
        """Look at each part once; never waits for one of them."""
        for watched in self._watched:
            try:
                self._look(watched, now)
            except GodotError as error:
                self._schedule(watched, now, str(error))

    def _look(self, watched: _Watched, now: float) -> None:
        part = watched.part
        if watched.launch_at is not None:
            if now >= watched.launch_at:
                self._launch(watched, now)
        elif not part.alive():
            self._schedule(watched, now, part.ending())
        elif watched.ready_since is None:
            self._await(watched, now)

    def _launch(self, watched: _Watched, now: float) -> None:
        watched.launch_at = None
        watched.late_at = now + watched.part.start_timeout
        watched.part.launch()
        self._launched()

    def _await(self, watched: _Watched, now: float) -> None:
        part = watched.part
        if part.answers():
            watched.ready_since = now
            self._announce.works(part.title, "works again")
            self._ready()
        elif now > watched.late_at:
            part.stop()
            self._schedule(watched, now, f"{part.title} did not answer: see {part.log}")

    def _schedule(self, watched: _Watched, now: float, reason: str) -> None:
        since = watched.ready_since
        if since is not None and now - since > STEADY_SECONDS:
            watched.backoff = FIRST_BACKOFF
        watched.ready_since = None
        watched.launch_at = now + watched.backoff
        self._announce.trouble(f"{reason}; next try in {watched.backoff:g} s")
        watched.backoff = min(LAST_BACKOFF, watched.backoff * 2)
