"""How fresh an answer is: what still waits in the queue, and what was dropped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from godot_otel import sql, store
from godot_otel.query.lending import Ask, Rows
from godot_otel.query.line import rfc3339
from godot_otel.query.reader import Reader, fetch
from godot_otel.queue import Depth


@dataclass(frozen=True, slots=True)
class Ingest:
    """The way into the store at the moment of an answer; None: could not be asked."""

    queue_depth: int | None
    queue_bytes: int | None
    capacity: int | None
    oldest_lag_s: float | None
    dropped_by_reason: dict[str, int] = field(default_factory=dict)
    """Records that applications gave up, as they count them themselves."""
    last_stored: datetime | None = None

    @property
    def dropped(self) -> int:
        """All drops together."""
        return sum(self.dropped_by_reason.values())

    def as_json(self) -> dict[str, Any]:
        """The shape that every door gives."""
        return {
            "queue_depth": self.queue_depth,
            "queue_bytes": self.queue_bytes,
            "capacity": self.capacity,
            "oldest_lag_s": self.oldest_lag_s,
            "dropped_by_reason": self.dropped_by_reason,
            "last_stored": rfc3339(self.last_stored) if self.last_stored else None,
        }

    def sentence(self) -> str:
        """The same for people, in one line."""
        if self.queue_depth is None:
            said = "queue: cannot be asked"
        elif self.queue_depth:
            said = f"queue: {self.queue_depth} records wait to be stored"
            said += f", the oldest for {self.oldest_lag_s or 0:.1f} s"
        else:
            said = "queue: empty"
        if self.dropped:
            said += f"; {self.dropped} records dropped by applications"
        return said


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer is made with: a connection, and how fresh it will be."""

    connection: store.Connection
    ingest: Ingest
    rows: Rows = field(default_factory=list)
    """Of what was asked first."""


@contextlib.asynccontextmanager
async def answering(
    reader: Reader, since: datetime | None, asked: Ask | None = None
) -> AsyncIterator[Answer]:
    """Lend a connection like ``Reader.ask``, once queue and store are asked.

    They are asked before rows are read, *asked* aside: then whatever the queue no
    longer held is in the answer. Drops are of the applications heard of after *since*.
    """
    depth = asyncio.ensure_future(reader.depth())
    try:
        yesterday = datetime.now(UTC) - timedelta(days=1)
        facts = _facts(since, yesterday)
        async with reader.ask(facts.beside(asked) if asked else facts) as lent:
            dropped, newest = lent.rows[0][:2]
            if newest is None:  # a store at rest
                facts = _facts(since, datetime(1970, 1, 1, tzinfo=UTC))
                found = await fetch(lent.connection, facts.query, facts.values)
                dropped, newest = found[0]
            ingest = _ingest(await depth, dropped, newest)
            yield Answer(lent.connection, ingest, [row[2:] for row in lent.rows])
    except BaseException:
        depth.cancel()
        await asyncio.gather(depth, return_exceptions=True)
        raise


def _facts(since: datetime | None, after: datetime) -> Ask:
    """Ask for drops by reason, and when the newest batches were stored.

    Today's batches are in one or two partitions, and those of a store at rest in any.
    """
    first = UUID(int=int(after.timestamp() * 1000) << 80)
    return Ask(sql.query("ingest"), {"since": since, "after": first})


def _ingest(
    depth: Depth | None, dropped: dict[str, int], last_stored: datetime | None
) -> Ingest:
    return Ingest(
        queue_depth=depth.records if depth else None,
        queue_bytes=depth.bytes if depth else None,
        capacity=depth.max_records if depth else None,
        oldest_lag_s=depth.oldest_age_seconds if depth else None,
        dropped_by_reason=dict(sorted(dropped.items())),
        last_stored=last_stored,
    )
