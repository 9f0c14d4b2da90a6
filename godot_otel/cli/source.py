"""Where reading commands read: the store itself, or a server that reads it for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

from godot_otel import query, settings
from godot_otel.errors import StoreUnreachableError
from godot_otel.query import (
    Filters,
    Line,
    Page,
    Reader,
    Stats,
    Trace,
    TraceLines,
    Traces,
)

_EVERY, _AWAY = 0.25, 1.0  # seconds between two looks


class Source(Protocol):
    """The questions of the reading commands; each promises what ``query`` does."""

    async def logs(
        self, filters: Filters, *, limit: int, order: str, cursor: str
    ) -> Page:
        """As ``query.logs``."""

    async def trace(self, filters: Filters, *, limit: int) -> TraceLines:
        """As ``query.trace``."""

    async def last_trace(self, *, errors: bool) -> Trace | None:
        """As ``query.last_trace``."""

    async def traces(
        self, filters: Filters, *, errors: bool, sort: str, limit: int, cursor: str
    ) -> Traces:
        """As ``query.traces``."""

    async def stats(self, filters: Filters) -> Stats:
        """As ``query.stats``."""

    def follow(
        self, filters: Filters, *, say: Callable[[str], None]
    ) -> AsyncIterator[Line]:
        """Give the lines to come, each once, for ever.

        Waits where the store is away, and says so once.

        Raises:
            StoreUnreachableError: it is away already at the beginning.
        """


class Store:
    """Reads the store."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    async def logs(
        self, filters: Filters, *, limit: int, order: str, cursor: str
    ) -> Page:
        """See ``Source``."""
        return await query.logs(
            self.reader, filters, limit=limit, order=order, cursor=cursor
        )

    async def trace(self, filters: Filters, *, limit: int) -> TraceLines:
        """See ``Source``."""
        return await query.trace(self.reader, filters, limit=limit)

    async def last_trace(self, *, errors: bool) -> Trace | None:
        """See ``Source``."""
        return await query.last_trace(self.reader, errors=errors)

    async def traces(
        self, filters: Filters, *, errors: bool, sort: str, limit: int, cursor: str
    ) -> Traces:
        """See ``Source``."""
        return await query.traces(
            self.reader, filters, errors=errors, sort=sort, limit=limit, cursor=cursor
        )

    async def stats(self, filters: Filters) -> Stats:
        """See ``Source``."""
        return await query.stats(self.reader, filters)

    async def follow(
        self, filters: Filters, *, say: Callable[[str], None]
    ) -> AsyncIterator[Line]:
        """See ``Source``."""
        seq = await query.newest_seq(self.reader)
        away = False
        while True:
            try:
                found = await query.logs_after(self.reader, seq, filters=filters)
            except StoreUnreachableError as error:
                if not away:
                    say(str(error))
                away = True
                await asyncio.sleep(_AWAY)
                continue
            away = False
            for one in found.lines:
                yield one
            if found.seq == seq:
                await asyncio.sleep(_EVERY)
            seq = found.seq


@contextlib.asynccontextmanager
async def opened(data_dir: Path | None) -> AsyncIterator[Source]:
    """Open the server of GODOT_URL, or the store.

    A data directory that the caller named goes before GODOT_URL.
    """
    url = None if data_dir else settings.value("url")
    if url:
        from godot_otel.cli.remote import Remote

        async with Remote(url, settings.value("token")) as remote:
            yield remote
        return
    async with Reader(data_dir=data_dir) as reader:
        yield Store(reader)
