"""Lines as server-sent events: each once, also over reconnects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Self

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from godot_otel import query
from godot_otel.errors import GodotError, StoreUnreachableError
from godot_otel.query import Filters, cursor
from godot_otel.query.filters import FilterError
from godot_otel.web.api.operation import HEADERS, dumps

EVERY = 0.25  # seconds between two looks at the store
HEARTBEAT = 5.0  # seconds; a proxy closes what is silent for long
_AWAY = 1.0


class Follow(Response):
    """A stream that ends when the client goes or its token does.

    Every event carries its cursor as id, and so does every heartbeat: a client that
    connects again with the last one misses nothing and gets nothing twice. An event
    ``refused`` says why a stream ends that cannot go on.
    """

    def __init__(
        self, reader: query.Reader, request: Request, filters: Filters, seq: int
    ) -> None:
        super().__init__()
        self._reader = reader
        self._state = request.state
        self._filters = filters
        self._seq = seq

    @classmethod
    async def begin(
        cls, reader: query.Reader, request: Request, filters: Filters, last: str
    ) -> Self:
        """Make a stream from the cursor *last* on, or without one from now on.

        Raises:
            FilterError: the cursor is none, or one of other filters.
            StoreUnreachableError: nothing can be followed now.
        """
        if not last.strip():
            seq = await query.newest_seq(reader)
            return cls(reader, request, filters, seq)
        digest = filters.digest("follow")
        _, _, seq = cursor.decode(last, digest, 1)
        if not isinstance(seq, int) or isinstance(seq, bool) or not 0 <= seq < 2**63:
            raise FilterError("cursor: not one that an earlier answer gave")
        return cls(reader, request, filters, seq)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until an end; a turn is held meanwhile."""
        with self._state.turns.stream():
            streaming = StreamingResponse(
                self._events(), headers=HEADERS, media_type="text/event-stream"
            )
            await streaming(scope, receive, send)

    async def _events(self) -> AsyncIterator[str]:
        yield f"retry: 2000\nid: {self._cursor()}\n\n"
        spoke = time.monotonic()
        while self._state.live():
            try:
                found = await query.logs_after(
                    self._reader, self._seq, filters=self._filters
                )
            except StoreUnreachableError:
                yield f": the store is away\nid: {self._cursor()}\n\n"
                await asyncio.sleep(_AWAY)
                continue
            except GodotError as error:  # a pattern that is none, or takes too long
                yield f"event: refused\ndata: {dumps({'error': str(error)})}\n\n"
                return
            now = datetime.now(UTC)
            for one in found.lines:
                self._seq = one.seq
                row = dumps(one.as_json(now))
                yield f"id: {self._cursor()}\ndata: {row}\n\n"
                spoke = time.monotonic()
            moved, self._seq = found.seq > self._seq, max(self._seq, found.seq)
            if time.monotonic() - spoke > HEARTBEAT:
                yield f": {query.rfc3339(now)}\nid: {self._cursor()}\n\n"
                spoke = time.monotonic()
            if not (found.lines or moved):
                await asyncio.sleep(EVERY)

    def _cursor(self) -> str:
        return cursor.encode(self._filters.digest("follow"), None, None, self._seq)
