"""Dead letters, asked for and dealt with: found, sent again, removed; as the owner.

A letter is sent again as a batch of its own, whose id is made of the letter's name and
time and of nothing else. So it does not matter where a replay is killed: the next one
sends the same id, and the ledger takes it once. Only then is the letter removed. What
is refused again is a new letter under the new id, which the same replay leaves alone.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from psycopg import sql as compose

from godot_otel import queue, sql, store
from godot_otel.errors import RetryableError
from godot_otel_collector.calendar import LEDGER_DAYS
from godot_otel_collector.letter import Letter

Key = tuple[uuid.UUID, int]

_TOGETHER = 25  # a letter may be as large as a batch: 4 MiB
_REMOVED_TOGETHER = 10_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters: those that fulfil all of it."""

    ids: Sequence[tuple[uuid.UUID, int | None]] = ()
    """Batch ids, with an ordinal or for all of the batch; none: any."""
    reason: str = ""
    """A part of the reason's text."""
    since: datetime | None = None
    before: datetime | None = None

    def values(self) -> dict[str, Any]:
        """The parameters of ``dead_letters_chosen.sql``."""
        return {
            "ids": [one for one, _ in self.ids] or None,
            "ordinals": [ordinal for _, ordinal in self.ids],
            "reason": self.reason,
            "since": self.since,
            "before": self.before,
        }


@dataclass(frozen=True, slots=True)
class Reason:
    """How many letters have one reason, and how many bytes they are."""

    reason: str
    letters: int
    bytes: int


async def reasons(connection: store.Connection, chosen: Chosen) -> list[Reason]:
    """Count letters by reason, the most frequent first."""
    statement = _with_chosen("dead_letter_reasons")
    cursor = await connection.execute(statement, chosen.values())
    return [Reason(*row) for row in await cursor.fetchall()]


async def keys(connection: store.Connection, chosen: Chosen) -> AsyncIterator[Key]:
    """Yield the keys of letters as they are now, the newest first."""
    async with connection.cursor("dead_letters", withhold=True) as cursor:
        cursor.itersize = 5000
        await cursor.execute(_with_chosen("dead_letter_keys"), chosen.values())
        async for batch_id, ordinal in cursor:
            yield batch_id, ordinal


async def letters(
    connection: store.Connection, chosen: Chosen
) -> AsyncIterator[Letter]:
    """Yield letters as they are now, the newest first."""
    async for together in _pages(keys(connection, chosen), _TOGETHER):
        for letter in await _load(connection, together):
            yield letter


async def remove(connection: store.Connection, which: Sequence[Key]) -> int:
    """Delete letters; return how many there still were."""
    cursor = await connection.execute(
        cast(Any, sql.query("dead_letters_remove")), _columns(which)
    )
    return cursor.rowcount


async def purge(
    connection: store.Connection,
    which: Sequence[Key],
    removed: Callable[[int], None],
) -> int:
    """Delete letters, telling *removed* after each step; return how many there were."""
    gone = 0
    for start in range(0, len(which), _REMOVED_TOGETHER):
        gone += await remove(connection, which[start : start + _REMOVED_TOGETHER])
        removed(gone)
    return gone


@dataclass(slots=True)
class Replayed:
    """What a replay did so far."""

    sent: int = 0
    unfit: int = 0
    """Those that hold no batch: there is nothing to send."""
    why: str = ""
    """Why the queue took no more."""


async def replay(
    connection: store.Connection,
    producer: queue.Producer,
    chosen: Chosen,
    went: Callable[[Replayed], None],
) -> Replayed:
    """Send letters to the queue and remove those that it holds; *went* sees each step.

    A queue that is full or away ends it: what was not sent stays.
    """
    done = Replayed()
    async for together in _pages(keys(connection, chosen), _TOGETHER):
        sent: list[Key] = []
        await _renew(connection, together)
        try:
            for letter in await _load(connection, together):
                if not letter.sendable:
                    done.unfit += 1
                    continue
                producer.admit(entry(letter))
                sent.append((letter.batch_id, letter.ordinal))
        except RetryableError as error:
            done.why = str(error)
        # After the queue has them: a crash in between sends them twice with one id.
        await remove(connection, sent)
        done.sent += len(sent)
        went(done)
        if done.why:
            break
    return done


def entry(letter: Letter) -> queue.Entry:
    """The batch that a letter is sent as; always the same one for the same letter."""
    return queue.Entry(
        replay_id(letter),
        letter.signal.encode(),
        max(1, letter.count()),
        letter.payload,
        encoding=b"gzip" if letter.packed else b"",
        home=letter.home,
    )


def replay_id(letter: Letter) -> bytes:
    """The id of that batch: the letter's time, and a hash of its name."""
    named = hashlib.blake2b(letter.name.encode(), digest_size=10).digest()
    return queue.derived_id(round(letter.at.timestamp() * 1000), named)


async def _renew(connection: store.Connection, which: Sequence[Key]) -> None:
    """Make sure that the ledger can prove the letters new when they arrive."""
    statement = cast(Any, sql.query("dead_letter_renew"))
    await connection.execute(statement, [*_columns(which), LEDGER_DAYS - 1])


async def _load(connection: store.Connection, which: Sequence[Key]) -> list[Letter]:
    statement = cast(Any, sql.query("dead_letters"))
    cursor = await connection.execute(statement, _columns(which))
    return [Letter(*row) for row in await cursor.fetchall()]


async def _pages(found: AsyncIterator[Key], size: int) -> AsyncIterator[list[Key]]:
    page: list[Key] = []
    async for key in found:
        page.append(key)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


def _columns(which: Iterable[Key]) -> tuple[list[uuid.UUID], list[int]]:
    pairs = list(which)
    return [one for one, _ in pairs], [ordinal for _, ordinal in pairs]


def _with_chosen(name: str) -> compose.Composed:
    chosen = compose.SQL(cast(Any, sql.query("dead_letters_chosen")))
    return compose.SQL(cast(Any, sql.query(name))).format(chosen=chosen)
