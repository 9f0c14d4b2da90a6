"""A store with lines in it, and a reader of it."""

import pytest
from fix_spans import Spans

from godot_otel import query


@pytest.fixture
def lines(store_dsn: str) -> Spans:
    return Spans(store_dsn)


@pytest.fixture
async def reader(store_dsn: str):
    async with query.Reader(store_dsn) as made:
        yield made
