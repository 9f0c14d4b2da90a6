"""Partitions of other times, what is attached, and queries that take long."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
from fix_lines import Lines, Row
from fix_otlp import entry
from fix_processes import wait_until

from godot_otel import queue
from godot_otel_collector.collector import Collector
from godot_otel_collector.maintenance import Maintenance

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def ago(**age: float) -> datetime:
    return datetime.now(UTC) - timedelta(**age)


def run(dsn: str, statement: str, *values: object) -> list[tuple]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def lowers(dsn: str, parent: str = "logs") -> list[datetime]:
    """The partitions that are really attached."""
    rows = run(
        dsn,
        "SELECT lower FROM partitions JOIN pg_inherits"
        " ON inhrelid = to_regclass(name) AND NOT inhdetachpending"
        " WHERE parent = %s ORDER BY lower",
        parent,
    )
    return [lower for (lower,) in rows]


def tables(dsn: str) -> set[str]:
    """Every table that looks like a partition, attached or not."""
    rows = run(
        dsn,
        r"SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '_\d{8,}'",
    )
    return {name for (name,) in rows}


def filled(dsn: str, *ages: timedelta) -> Lines:
    """A store with a line of each age, each in an hour of its own."""
    lines = Lines(dsn)
    for age in ages:
        lines.add(Row("a line", datetime.now(UTC) - age, trace_id=TRACE))
    return lines


@contextlib.contextmanager
def reading(dsn: str) -> Iterator[None]:
    """A query over all lines that goes on until the block ends."""
    with psycopg.connect(dsn, autocommit=True) as connection:

        def read() -> None:
            with contextlib.suppress(psycopg.errors.QueryCanceled):
                connection.execute("SELECT pg_sleep(120) FROM logs")

        reader = threading.Thread(target=read)
        reader.start()
        wait_until(lambda: running(dsn, "SELECT pg_sleep%"), "the query to run")
        try:
            yield
        finally:
            connection.cancel_safe()
            reader.join()


def running(dsn: str, like: str) -> bool:
    statement = (
        "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    return bool(run(dsn, statement, like))


@contextlib.asynccontextmanager
async def maintained(dsn: str, source: queue.Queue) -> AsyncIterator[Maintenance]:
    maintaining, stopping = Maintenance(dsn, source=source), asyncio.Event()
    task = asyncio.create_task(maintaining.run(stopping))
    try:
        yield maintaining
    finally:
        stopping.set()
        await task


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)


def pending(dsn: str) -> bool:
    return bool(run(dsn, "SELECT 1 FROM pg_inherits WHERE inhdetachpending"))


@contextlib.asynccontextmanager
async def collecting(redis_url: str, dsn: str) -> AsyncIterator[Collector]:
    collector = Collector(redis_url, owner_dsn=dsn, writer_dsn=dsn)
    task = asyncio.create_task(collector.run())
    try:
        yield collector
    finally:
        collector.stop()
        await task


def late(body: str, **age: float) -> queue.Entry:
    return entry([body, "poison"], time_ns=int(ago(**age).timestamp() * 1e9))


def bodies(dsn: str) -> list[str]:
    return [body for (body,) in run(dsn, "SELECT body FROM logs ORDER BY seq")]


def oldest(dsn: str, parent: str = "logs") -> str:
    return run(dsn, "SELECT min(name) FROM partitions WHERE parent = %s", parent)[0][0]
