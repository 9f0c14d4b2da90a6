"""A store with lines in it, and what it then holds."""

import pytest
from fix_lines import Lines


@pytest.fixture
def lines(store_dsn: str) -> Lines:
    return Lines(store_dsn)
