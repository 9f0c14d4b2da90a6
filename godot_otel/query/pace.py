"""Scanning a slice bit by bit, so that no question waits long for its first answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

import psycopg

from godot_otel import store
from godot_otel.query.slices import Slice

_MOMENT = 0.1  # seconds that a bit should take
_LONGEST = 0.4  # seconds after which Postgres stops it
_TOO_LONG = 2.0  # for the narrowest
_FIRST_WIDTH, _WIDEST = timedelta(seconds=5), timedelta(days=2)
_NARROWEST = timedelta(milliseconds=10)
# For one transaction; a role's own timeout may be shorter. Where rows came in no order
# of time, the planner may think that reading a whole partition is cheaper than a bit.
_BOUNDS = """
SELECT set_config('enable_seqscan', 'off', true),
       CASE WHEN current_setting('statement_timeout') = '0'
              OR current_setting('statement_timeout')::interval > %s
            THEN set_config('statement_timeout', %s, true) END
"""

_T = TypeVar("_T")


class Pace:
    """How much time one statement may scan: as much as takes a moment."""

    def __init__(self, *, longest: float = _LONGEST) -> None:
        """*longest* is in seconds: Postgres stops a statement that takes longer."""
        self._width, self._widest = _FIRST_WIDTH, _WIDEST
        self._longest = longest

    async def read(
        self,
        connection: store.Connection,
        piece: Slice,
        read: Callable[[Slice], Awaitable[_T]],
        *,
        newest: bool,
    ) -> AsyncIterator[tuple[_T | None, datetime]]:
        """Yield what *read* finds in each bit of *piece*, and how far that is.

        None: a bit took too long (rows on a slow disk); it is read again in smaller
        ones, or where there are none, for longer.

        Raises:
            psycopg.errors.QueryCanceled: the smallest one took too long.
        """
        while piece.lower < piece.upper:
            bit, left = self._cut(piece, newest=newest)
            began = time.monotonic()
            try:
                async with connection.transaction():
                    longest = timedelta(seconds=self._longest)
                    ms = str(round(self._longest * 1000))
                    await connection.execute(_BOUNDS, [longest, ms], prepare=False)
                    found = await read(bit)
            except psycopg.errors.QueryCanceled:
                if not self._narrow():
                    raise
                yield None, piece.upper if newest else piece.lower
                continue
            self._learn(time.monotonic() - began)
            yield found, bit.lower if newest else bit.upper
            piece = left

    def _cut(self, piece: Slice, *, newest: bool) -> tuple[Slice, Slice]:
        if newest:
            edge = max(piece.lower, piece.upper - self._width)
            return piece.cut(edge, None), piece.cut(None, edge)
        edge = min(piece.upper, piece.lower + self._width)
        return piece.cut(None, edge), piece.cut(edge, None)

    def _learn(self, took: float) -> None:
        if took < _MOMENT / 2:
            self._width = min(self._width * 4, self._widest)
        elif took < _MOMENT:
            self._width = min(self._width * 2, self._widest)
        elif took > _MOMENT * 2:
            self._width = max(self._width / 4, _NARROWEST)

    def _narrow(self) -> bool:
        """Ask for less, or wait longer for the least; say whether that may help."""
        if self._width > _NARROWEST:
            # What takes so long is near: wider ones would only meet it again.
            self._width = self._widest = max(self._width / 16, _NARROWEST)
            return True
        self._longest *= 2
        return self._longest <= _TOO_LONG
