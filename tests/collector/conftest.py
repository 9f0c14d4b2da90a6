"""What tests of maintenance stand on."""

from collections.abc import AsyncIterator

import pytest

from godot_otel import queue, store


@pytest.fixture
async def source(redis_url) -> AsyncIterator[queue.Queue]:
    source = queue.Queue(redis_url)
    yield source
    await source.close()


@pytest.fixture
async def owner(store_dsn) -> AsyncIterator[store.Connection]:
    async with await store.connect(store_dsn) as connection:
        yield connection
