"""The tokens that are live, as a server knows them: read again every few seconds.

A request never waits for the store to be asked about its token, and cannot make it be
asked. Whoever revokes a token is heeded within 5 s; a server whose store is away goes
on with what it knew for KEPT seconds.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from datetime import UTC, datetime

from godot_otel import query, store, tokens
from godot_otel.errors import GodotError, StoreUnreachableError
from godot_otel.query.reader import fetch
from godot_otel.tokens import Token

EVERY = 2.0  # seconds
KEPT = 900.0  # seconds after the last answer of the store

_LIVE = " ".join([
    "SELECT", tokens.COLUMNS, "FROM tokens WHERE revoked_at IS NULL",
    "AND (expires_at IS NULL OR expires_at > now())",
])  # fmt: skip # the statement as it reads

log = logging.getLogger(__name__)


class KnownTokens:
    """Looks tokens up without asking the store; ``close`` ends what reads them."""

    def __init__(self, reader: query.Reader) -> None:
        self._reader = reader
        self._live: list[Token] = []
        self._read_at: float | None = None
        self._used: set[bytes] = set()
        self._marked: set[tuple[bytes, str]] = set()
        self._reading: asyncio.Task[None] | None = None

    async def any(self) -> bool:
        """Whether there is a live token; asks the store now."""
        await self._read()
        return bool(self._live)

    async def find(self, token: str) -> Token | None:
        """The live token that is this text; None for any other text.

        Raises:
            StoreUnreachableError: it cannot be known: the store is away, from the
                start or for longer than KEPT.
        """
        if self._reading is None:
            self._reading = asyncio.create_task(self._go_on())
        if self._read_at is None:  # only ever before the first answer
            await self._read()
        if self._read_at is None or time.monotonic() - self._read_at > KEPT:
            raise StoreUnreachableError(
                "tokens cannot be checked while the store is away; retry"
            )
        digest = tokens.digest(token)
        found = self._live_one(digest)
        if found:
            self._used.add(digest)
        return found

    def still(self, token: Token) -> bool:
        """Whether a token that was found is live now."""
        return self._live_one(token.hash) is not None

    async def close(self) -> None:
        """Stop reading."""
        if self._reading:
            await store.end(self._reading)

    def _live_one(self, digest: bytes) -> Token | None:
        for one in self._live:
            if hmac.compare_digest(one.hash, digest):
                return one if one.state == "live" else None  # it may expire meanwhile
        return None

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self._read()
                await self._mark()
            except GodotError as error:
                log.debug("tokens not read: %s", error)
            except Exception:  # nothing may end this: revoked tokens would live on
                log.exception("tokens not read", extra={"action": "tokens"})

    async def _read(self) -> None:
        async with self._reader.connection() as connection:
            rows = await fetch(connection, _LIVE)
        self._live = [Token.of(row) for row in rows]
        self._read_at = time.monotonic()

    async def _mark(self) -> None:
        """Note the day on which tokens were used, once a day each."""
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        for digest in list(self._used):
            self._used.discard(digest)
            if (digest, today) in self._marked:
                continue
            async with (
                self._reader.connection() as connection,
                connection.transaction(),
            ):
                await connection.execute("SET TRANSACTION READ WRITE")
                await connection.execute("SELECT token_used(%s)", [digest])
            self._marked = {one for one in self._marked if one[1] == today}
            self._marked.add((digest, today))
