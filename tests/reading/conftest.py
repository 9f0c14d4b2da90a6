"""A store with lines in it, and a reader of it."""

import psycopg
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


@pytest.fixture
def statements(monkeypatch) -> list[str]:
    """What is asked of the store over asynchronous connections, as it goes on."""
    asked, execute = [], psycopg.AsyncConnection.execute

    def noting(self, statement, *more, **options):
        asked.append(statement)
        return execute(self, statement, *more, **options)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", noting)
    return asked
