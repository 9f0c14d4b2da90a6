"""Keeps maintenance from being felt: after a step, a pause three times as long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_SHORTEST_PAUSE = 0.02
LONGEST_PAUSE = 4.0


@asynccontextmanager
async def breathe() -> AsyncIterator[None]:
    """Do one step, then leave the store to those who write and read."""
    start = time.monotonic()
    yield
    took = time.monotonic() - start
    await asyncio.sleep(min(max(3 * took, _SHORTEST_PAUSE), LONGEST_PAUSE))
