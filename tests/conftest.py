"""The servers every test shares: real ones, started by the session, ended with it.

A test gets a database of its own from a migrated template, and a Redis database number
of its own. ``--postgres 15`` runs the same tests on Debian's Postgres 15.
"""

import asyncio
import itertools
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
import redis
from fix_debian import DebianPostgres
from psycopg import sql

from godot_otel import queue, store
from godot_otel.stack.postgres import Postgres
from godot_otel.stack.valkey import Valkey

_numbers = itertools.count(1)
# Ten times as fast as by WAL, where nothing is synced.
_COPY = "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy"
# No deadline: machines are shared. What it finds it prints, and keeps nowhere.
hypothesis.settings.register_profile(
    "here", deadline=None, database=None, print_blob=True
)
hypothesis.settings.load_profile("here")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres", choices=["embedded", "15"], default="embedded",
        help="which Postgres the tests run on: the embedded 18, or Debian's 15",
    )  # fmt: skip # one option
    parser.addoption(
        "--update", action="store_true",
        help="write the answers of docs/agents.md anew instead of comparing them",
    )  # fmt: skip # one option
    parser.addoption(
        "--programs", metavar="FOLDER",
        help="the folder of the godot-otel that tests/deployment runs; default: ours",
    )  # fmt: skip # one option


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> None:
    for name in list(os.environ):
        if name.startswith(("GODOT_", "OTEL_")):
            del os.environ[name]


@pytest.fixture(scope="session", autouse=True)
def _signals_are_heard() -> None:
    """A shell's background job ignores them, and what it starts would as well."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A short path that an unprivileged user may enter: sockets and data live here."""
    with tempfile.TemporaryDirectory(prefix="godot-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres(
    request: pytest.FixtureRequest, server_folder: Path
) -> Iterator[Postgres | DebianPostgres]:
    fast = {"fsync": "off", "full_page_writes": "off"}
    server: Postgres | DebianPostgres
    if request.config.getoption("--postgres") == "15":
        server = DebianPostgres(server_folder / "pg15", settings=fast)
    else:
        server = Postgres(server_folder / "pg", settings=fast)
    server.start()
    yield server
    server.stop()
    server.wipe()


@pytest.fixture(scope="session")
def valkey(server_folder: Path) -> Iterator[Valkey]:
    server = Valkey(server_folder / "valkey", settings={"appendfsync": "no"})
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    name = "godot_template"
    _execute(postgres, "CREATE DATABASE {}", name)
    asyncio.run(store.migrate(postgres.dsn(name), retention_days=7))
    return name


@pytest.fixture
def new_store(postgres: Postgres, template: str) -> Iterator[Callable[[], str]]:
    """Make migrated databases; each is gone at the end of the test."""
    made: list[str] = []

    def make() -> str:
        name = f"test_{next(_numbers)}"
        _execute(postgres, _COPY, name, template)
        made.append(name)
        return postgres.dsn(name)

    yield make
    for name in made:
        _execute(postgres, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def store_dsn(new_store: Callable[[], str]) -> str:
    """A fresh migrated database, as its owner."""
    return new_store()


@pytest.fixture
def redis_url(valkey: Valkey) -> Iterator[str]:
    """An empty database of the session's Valkey."""
    url = f"{valkey.url.rpartition('/')[0]}/{next(_numbers) % 16}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture
def producer(redis_url: str) -> Iterator[queue.Producer]:
    """Sends batches to this test's queue."""
    producer = queue.Producer(redis_url)
    yield producer
    producer.close()


def _execute(postgres: Postgres, statement: str, *names: str) -> None:
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        identifiers = [sql.Identifier(name) for name in names]
        connection.execute(sql.SQL(statement).format(*identifiers))
