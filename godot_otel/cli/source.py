"""Where reading commands read: the store itself, or a server that reads it for them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

from godot_otel import query, settings
from godot_otel.errors import StoreUnreachableError
from godot_otel.query import (
    Difference,
    Filters,
    Line,
    Page,
    Patterns,
    Reader,
    Stats,
    Trace,
    TraceLines,
    Traces,
)

_AWAY = 1.0  # seconds between two looks at a store that is away
_A = TypeVar("_A")


class Source(Protocol):
    """The questions of the reading commands; each promises what ``query`` does."""

    async def logs(
        self, filters: Filters, *, limit: int, order: str, cursor: str
    ) -> Page:
        """As ``query.logs``."""

    async def trace(self, filters: Filters, *, limit: int) -> TraceLines:
        """As ``query.trace``."""

    async def compare(self, filters: Filters, other: str) -> Difference:
        """As ``query.compare``."""

    async def last_trace(self, *, errors: bool) -> Trace | None:
        """As ``query.last_trace``."""

    async def traces(
        self,
        filters: Filters,
        *,
        errors: bool,
        sort: str,
        min_duration_ms: float,
        limit: int,
        cursor: str,
    ) -> Traces:
        """As ``query.traces``."""

    async def patterns(
        self, filters: Filters, *, compare_to: str, limit: int
    ) -> Patterns:
        """As ``query.patterns``."""

    async def stats(
        self, filters: Filters, *, group_by: str, bucket: str, fields: str
    ) -> Stats:
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

    async def compare(self, filters: Filters, other: str) -> Difference:
        """See ``Source``."""
        return await query.compare(self.reader, filters, other)

    async def last_trace(self, *, errors: bool) -> Trace | None:
        """See ``Source``."""
        return await query.last_trace(self.reader, errors=errors)

    async def traces(
        self,
        filters: Filters,
        *,
        errors: bool,
        sort: str,
        min_duration_ms: float,
        limit: int,
        cursor: str,
    ) -> Traces:
        """See ``Source``."""
        return await query.traces(
            self.reader,
            filters,
            errors=errors,
            sort=sort,
            min_duration_ms=min_duration_ms,
            limit=limit,
            cursor=cursor,
        )

    async def patterns(
        self, filters: Filters, *, compare_to: str, limit: int
    ) -> Patterns:
        """See ``Source``."""
        return await query.patterns(
            self.reader, filters, compare_to=compare_to, limit=limit
        )

    async def stats(
        self, filters: Filters, *, group_by: str, bucket: str, fields: str
    ) -> Stats:
        """See ``Source``."""
        return await query.stats(
            self.reader, filters, group_by=group_by, bucket=bucket, fields=fields
        )

    async def follow(
        self, filters: Filters, *, say: Callable[[str], None]
    ) -> AsyncIterator[Line]:
        """See ``Source``."""
        seq = await query.follow_from(self.reader, filters, "")
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
                await asyncio.sleep(query.POLL_INTERVAL)
            seq = found.seq


def ask(
    data_dir: Path | None, question: Callable[[Source], Coroutine[Any, Any, _A]]
) -> _A:
    """Ask store or server; where reading commands enter asyncio."""
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # we say it ourselves

    async def run() -> _A:
        async with _opened(data_dir) as source:
            return await question(source)

    return asyncio.run(run())


@contextlib.asynccontextmanager
async def _opened(data_dir: Path | None) -> AsyncIterator[Source]:
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
