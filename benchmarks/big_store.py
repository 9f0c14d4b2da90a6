"""A store of many rows over many partitions, by the collector's own steps.

    python benchmarks/big_store.py DSN [--rows 10000000] [--hours 168]

The rows are those of the generator, spread evenly over the last hours. Two processes
decode, prepare and write as a collector does, without a queue before it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import sys
import time
from collections.abc import Iterator

from generator import batches

from godot_otel import queue, sql, store
from godot_otel_collector import pace
from godot_otel_collector.closing import Closing
from godot_otel_collector.hours import HOURS_A_ROUND, Hours
from godot_otel_collector.maintenance import Task
from godot_otel_collector.packs import Packs
from godot_otel_collector.partitions import Partitions
from godot_otel_collector.preparation import Preparation
from godot_otel_collector.writer import Writer

HOUR_NS = 3_600_000_000_000
BATCH = 512
GROUP = 39  # batches a transaction: as many rows as a busy collector writes
PROCESSES = 2


def build(
    dsn: str, *, rows: int, hours: int, hours_ago: int = 0, closed: bool = True
) -> float:
    """Fill a migrated, empty store; return how many seconds that took.

    The last of its *hours* ends *hours_ago*. Its partitions are *closed*, and packed
    where they are old enough, or are left for a collector to do so.
    """
    began = time.monotonic()
    now = time.time_ns() - hours_ago * HOUR_NS
    asyncio.run(_partitions(dsn, now, hours))
    done = multiprocessing.Value("q", 0)
    parts = [
        multiprocessing.Process(target=_fill, args=(dsn, now, rows, hours, part, done))
        for part in range(PROCESSES)
    ]
    for part in parts:
        part.start()
    while any(part.is_alive() for part in parts):
        time.sleep(1)
        if sys.stderr.isatty():
            print(f"\r  {done.value:,} of {rows:,} rows", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    for part in parts:
        part.join()
        assert part.exitcode == 0
    if closed:
        asyncio.run(close(dsn))
        asyncio.run(pack(dsn))
    asyncio.run(_count(dsn, hours))
    return time.monotonic() - began


async def _partitions(dsn: str, now: int, hours: int) -> None:
    partitions = Partitions(dsn)
    await partitions.create_ahead()
    moments = [(now - n * HOUR_NS) // 1000 for n in range(hours + 1)]
    ids = [queue.batch_id(moment // 1000) for moment in moments]
    await partitions.ensure(moments, ids)


def _fill(dsn: str, now: int, rows: int, hours: int, part: int, done: object) -> None:
    asyncio.run(_write(dsn, now, rows, hours, part, done))


async def _write(
    dsn: str, now: int, rows: int, hours: int, part: int, done: object
) -> None:
    partitions = Partitions(dsn)
    await partitions.create_ahead()
    preparation = Preparation(retention_days=partitions.rules.retention_days)
    writer = Writer(dsn, partitions=partitions, stopping=asyncio.Event())
    deliveries = _deliveries(now, rows, hours, part)
    while group := list(itertools.islice(deliveries, GROUP)):
        prepared = preparation.of(group, partitions.logs)
        assert prepared.group is not None
        await writer.write(prepared.group)
        with done.get_lock():  # type: ignore[attr-defined]
            done.value += sum(b.stored for b in prepared.group.batches)  # type: ignore[attr-defined]
    await writer.close()


def _deliveries(
    now: int, rows: int, hours: int, part: int
) -> Iterator[queue.Delivered]:
    """This part's entries, as the queue would deliver them; an hour at a time."""
    an_hour = rows // hours
    for hour in range(part, hours, PROCESSES):
        start = now - (hour + 1) * HOUR_NS
        step = HOUR_NS // an_hour
        moments = itertools.count(start, step * BATCH)
        entries = batches(
            an_hour, seed=hour, clock=moments.__next__, step_ns=step
        )  # fmt: skip # what, and when
        for number, entry in enumerate(entries):
            fields = entry.fields()
            stream_id = b"%d-0" % ((start + step * BATCH * number) // 1_000_000)
            yield stream_id, dict(zip(fields[::2], fields[1::2], strict=True))


async def close(dsn: str) -> None:
    """Close what is over, as maintenance does."""
    await _until_none(dsn, "closable", Closing())


async def pack(dsn: str) -> None:
    """Pack what is closed and was over a day ago, as maintenance does."""
    await _until_none(dsn, "packable", Packs())


async def _until_none(dsn: str, due: str, task: Task) -> None:
    pace.LONGEST_PAUSE = 0.0  # there is nobody yet who would be held up
    async with await store.connect(dsn) as connection:
        while await (await connection.execute(sql.query(due).encode())).fetchone():
            await task.run(connection)


async def _count(dsn: str, hours: int) -> None:
    """Count what is there by hour and vacuum, as maintenance does.

    And write out what the fill has changed, which would go on for minutes by itself.
    """
    pace.LONGEST_PAUSE = 0.0
    async with await store.connect(dsn) as connection:
        await connection.execute("VACUUM (ANALYZE)")
        for _ in range(0, hours, HOURS_A_ROUND):
            await Hours().run(connection)
        await connection.execute("VACUUM (ANALYZE) log_hours, template_hours")
        await connection.execute("CHECKPOINT")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dsn", help="a migrated, empty store, as its owner")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--hours", type=int, default=168)
    options = parser.parse_args()
    seconds = build(options.dsn, rows=options.rows, hours=options.hours)
    print(f"{options.rows:,} rows in {seconds:.0f} s")


if __name__ == "__main__":
    main()
