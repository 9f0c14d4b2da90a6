"""Sends a canary's lines, looks for them in the store, and says when it cannot look."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from godot_otel import query, settings
from godot_otel.canary.book import Book
from godot_otel.canary.sender import NUMBER, RUN, SERVICE, Sender
from godot_otel.errors import GodotError, SettingError
from godot_otel.query.filters import parse
from godot_otel_exporter.spool import Spool

_POLL_SECONDS = 0.1
_LOOK_BACK_SECONDS = 2.0  # between two looks at lines that were found already
_CLOCKS_SECONDS = 1.0  # what the clocks of this machine and the queue may differ


@dataclass(slots=True)
class Watch:
    """One run of a canary."""

    sender: Sender
    reader: query.Reader
    book: Book
    rate: float
    say: Callable[[str], None]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: str = ""
    """What keeps us from looking, at this moment."""
    queued: int | None = 0
    """Records in the queue when we looked last; None: it cannot be asked."""
    _looked_back: float = 0.0
    _clear: float | None = None
    """See ``_waits_since``, as of the look before."""
    _detour: float = 0.0
    """When lines of ours were last seen on disk."""

    async def run(self, seconds: float, step: Callable[[Book], None]) -> None:
        """Sing for *seconds*, then look until every line has had its time.

        *step* is called after each look. Setting ``stopping`` ends it at once.
        """
        singing = asyncio.create_task(self._sing(seconds))
        deadline = math.inf
        try:
            while not self.stopping.is_set():
                begun = time.time()
                over = begun > deadline
                await self._look(back=over)
                step(self.book)
                if singing.done():
                    singing.result()
                    deadline = min(deadline, time.time() + self.book.grace)
                    if over or not self.book.waiting:
                        break
                # A store that answers slowly is not asked all the time.
                await self._pause(max(_POLL_SECONDS, 3 * (time.time() - begun)))
            if not self.trouble:
                await self._look(back=True)  # once more for what is doubled
        finally:
            singing.cancel()

    async def _sing(self, seconds: float) -> None:
        begun, number = time.monotonic(), 0
        while number < seconds * self.rate:
            due = begun + number / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.book.send(number, time.time())
            self.sender.send(number)
            number += 1

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _look(self, *, back: bool) -> None:
        """Ask the store once for the lines that are waited for.

        From time to time, and with *back*, also for those found already: a line can
        come a second time.
        """
        asked = time.time()
        since = self.book.oldest
        back = back or asked - self._looked_back >= _LOOK_BACK_SECONDS
        if back:
            since = min(since or asked, asked - self.book.grace)
        if since is None:
            return
        clear, self._clear = self._clear, None
        try:
            # Before the queue is asked: what moves there from the disk is seen here.
            if self._spooled():
                self._detour = asked
            found, ingest = await self._ask(since - _CLOCKS_SECONDS)
        except SettingError:
            raise  # waiting does not help
        except GodotError as error:
            self._tell(str(error))
            return
        self._looked_back = asked if back else self._looked_back
        self.queued = ingest.queue_depth
        self._tell("" if self.queued is not None else "the queue cannot be asked")
        self.book.read(found, time.time())
        # What had left the queue at the look before was in the store at this one.
        self.book.settle(asked, clear)
        self._clear = self._waits_since(asked, ingest)

    def _spooled(self) -> bool:
        spool = Spool(settings.spool_dir(), max_bytes=0)
        return any(one.service == SERVICE for one in spool.batches())

    def _waits_since(self, asked: float, ingest: query.Ingest) -> float | None:
        """From when on lines may still be in the queue; None: of any time."""
        if ingest.queue_depth is None or self._detour == asked:
            return None
        if not ingest.queue_depth:
            return math.inf
        admitted = asked - (ingest.oldest_lag_s or 0.0) - _CLOCKS_SECONDS
        # Batches that came by the disk hold lines older than their place in the queue.
        return admitted if admitted > self._detour + _CLOCKS_SECONDS else None

    async def _ask(self, since: float) -> tuple[list[tuple[int, int]], query.Ingest]:
        filters = parse(
            component=SERVICE,
            where=[f"{RUN}={self.sender.run}"],
            since=datetime.fromtimestamp(since, UTC).isoformat(),
        )
        rows: list[tuple[int, int]] = []
        cursor = ""
        while True:
            page = await query.logs(
                self.reader,
                filters,
                limit=query.MAX_LIMIT,
                order="oldest",
                cursor=cursor,
            )
            rows += [(int(one.attributes[NUMBER]), one.seq) for one in page.lines]
            if not page.next_cursor:
                return rows, page.ingest
            cursor = page.next_cursor

    def _tell(self, trouble: str) -> None:
        """Say what keeps us from looking when it begins, and when it is over."""
        if trouble and not self.trouble:
            self.say(trouble)
        elif self.trouble and not trouble:
            self.say("queue and store can be asked again")
        self.trouble = trouble
