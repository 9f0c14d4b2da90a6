"""Decodes and prepares in a process of its own, so that it takes no time from COPY.

Both are work for a processor core, storing is mostly waiting: in one process they would
share the interpreter's lock, and each wait for Postgres would cost a turn of it.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

from godot_otel import queue
from godot_otel_collector.batch import Batch, DeadLetter, Rows
from godot_otel_collector.decode import DAY, Decoder
from godot_otel_collector.entry import UnknownContractError
from godot_otel_collector.group import Group, prepare
from godot_otel_collector.partitions import HOUR, LEDGER_DAYS, Calendar

log = logging.getLogger(__name__)

_decoder: Decoder  # of the process that prepares


@dataclass(slots=True)
class Prepared:
    """What came of some deliveries: a group, or the partitions that it needs first."""

    group: Group | None = None
    moments: set[int] = field(default_factory=set)
    """Microseconds; not every one has a partition, where there is no group."""
    ids: list[bytes] = field(default_factory=list)
    """Batch ids, which need partitions of the ledger."""
    unknown: list[bytes] = field(default_factory=list)
    """Stream ids of entries that only a newer collector understands."""


class Preparer:
    """Owns the process; ``close`` ends it, and so does the end of its parent."""

    def __init__(self, *, retention_days: int) -> None:
        self._retention_days = retention_days
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            max_workers=1,
            # No fork: the parent has sockets, threads and an event loop.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(self._retention_days,),
        )

    async def prepare(
        self, deliveries: Sequence[queue.Delivered], calendar: Calendar
    ) -> Prepared:
        """Decode deliveries and make of them what one transaction writes."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await loop.run_in_executor(
                    self._pool, work, list(deliveries), calendar
                )
            except BrokenProcessPool:  # killed from outside; nothing was stored yet
                log.warning(
                    "the preparing process ended, starting another",
                    extra={"action": "preparer_restarted"},
                )
                self._pool.shutdown(wait=False)
                self._pool = self._start()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown(cancel_futures=True)


def _begin(retention_days: int) -> None:
    global _decoder  # a process of its own has a state of its own
    _decoder = Decoder(retention_days=retention_days)
    for name in (signal.SIGINT, signal.SIGTERM):  # both come to the whole group
        signal.signal(name, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without this, a parent that was killed would leave its child waiting for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def work(deliveries: Sequence[queue.Delivered], calendar: Calendar) -> Prepared:
    """Decode and prepare; runs in the process."""
    found = Prepared()
    batches: list[Batch] = []
    for delivery in deliveries:
        try:
            batch = _decoder.decode(delivery)
        except UnknownContractError:
            found.unknown.append(delivery[0])
            continue
        check_ledger_range(batch)
        batches.append(batch)
    # Bounds are whole hours, whatever the widths: an hour has one partition.
    found.moments = {t // HOUR * HOUR for b in batches for t in b.rows.times}
    found.ids = [batch.id for batch in batches if not batch.outside]
    if all(calendar.covers(moment) for moment in found.moments):
        found.group = prepare(batches, calendar)
        for batch in batches:  # packed in the group's chunks by now
            batch.rows = Rows()
    return found


def check_ledger_range(batch: Batch) -> None:
    """A batch older than the ledger cannot be proven new: it becomes a dead letter."""
    minted = int.from_bytes(batch.id[:6], "big") * 1000
    received = queue.stream_milliseconds(batch.stream_id) * 1000
    if not received - LEDGER_DAYS * DAY <= minted <= received + DAY:
        reason = "batch id is outside the ledger's range"
        batch.outside = True
        batch.rows = Rows()
        batch.dead = [DeadLetter(-1, reason, batch.payload)]
