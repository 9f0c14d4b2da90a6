"""Rows a second of one collector, queue to committed rows, against raw COPY.

Raw COPY: the same rows preformatted, one connection, the same parent and indexes, the
same rows a transaction. Runs alternate; medians count. Each run has a database of its
own, which is dropped before the next one begins: no autovacuum of it runs beside that.
Both are timed over so many rows that the collector's first group, for which nothing is
copied yet, and its last one, for which nothing is decoded any more, weigh little.

    python benchmarks/drain.py [--spans] [--records 400000] [--runs 5] [--json]

With ``--spans``: spans as instrumentations make them, of HTTP servers and clients and
of databases, one in a hundred with an exception.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Sequence

import generator
import psycopg
import span_generator
from servers import Servers, memory, servers

from godot_otel import queue
from godot_otel_collector import columns
from godot_otel_collector.chunk import Packed
from godot_otel_collector.collector import GROUP_RECORDS
from godot_otel_collector.copying import HEADER, TRAILER
from godot_otel_collector.decode import Decoder
from godot_otel_collector.grouping import CHUNK
from godot_otel_collector.partitions import Partitions

TABLES = {"logs": columns.LOGS, "spans": columns.SPANS}


MEMORY_SECONDS = 0.5
POLL_SECONDS = 0.02
"""Oftener, and the asking takes a tenth of a core from those that are measured."""


def batches(table: str, records: int) -> list[queue.Entry]:
    """The entries of either signal; every run has the same."""
    made = generator.batches if table == "logs" else span_generator.batches
    return list(made(records))


def drain(
    bench: Servers, table: str, entries: Sequence[queue.Entry]
) -> tuple[float, float]:
    """Fill the queue, then time a collector from ready to the last acknowledgement.

    Returns:
        Rows a second, and the collector's memory in MB, the most of what was seen.
    """
    import redis

    dsn = bench.new_store()
    client = redis.Redis.from_url(bench.valkey.url)
    producer = queue.Producer(bench.valkey.url, socket_timeout=30)
    for entry in entries:
        producer.admit(entry)
    most, looked = 0.0, time.perf_counter()
    with bench.collector(dsn) as collector:
        start = time.perf_counter()
        while client.xlen(queue.stream_key()):
            time.sleep(POLL_SECONDS)
            if time.perf_counter() - looked > MEMORY_SECONDS:
                most, looked = max(most, memory(collector.pid)), time.perf_counter()
        seconds = time.perf_counter() - start
    producer.close()
    client.close()
    with psycopg.connect(dsn) as connection:
        found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    records = sum(entry.records for entry in entries)
    assert found == (records,), found
    bench.drop_store(dsn)
    return records / seconds, most


def packed(entries: Sequence[queue.Entry]) -> list[list[bytes]]:
    """The rows of *entries* in COPY's form: pieces of the collector's transactions."""
    decoder = Decoder(retention_days=7)
    stream_id = b"%d-0" % (time.time_ns() // 1_000_000)
    transactions: list[list[bytes]] = []
    rows: list[bytes] = []
    done = 0
    for entry in entries:
        fields = entry.fields()
        pairs = dict(zip(fields[::2], fields[1::2], strict=True))
        rows += decoder.decode((stream_id, pairs)).received.packed
        if len(rows) >= GROUP_RECORDS or entry is entries[-1]:
            transactions.append(
                [
                    bytes(Packed(rows[start : start + CHUNK]).numbered(done + start))
                    for start in range(0, len(rows), CHUNK)
                ]
            )
            done += len(rows)
            rows = []
    return transactions


def raw_copy(
    bench: Servers,
    table: str,
    entries: Sequence[queue.Entry],
    transactions: list[list[bytes]],
) -> float:
    """COPY the rows of *entries*, packed beforehand."""
    dsn = bench.new_store()
    asyncio.run(partitions(dsn, entries))
    statement = f"COPY {table} ({TABLES[table]}) FROM STDIN (FORMAT BINARY)"
    with psycopg.connect(dsn, autocommit=True) as connection:
        start = time.perf_counter()
        for pieces in transactions:
            with connection.cursor().copy(statement) as copy:
                copy.write(HEADER)
                for piece in pieces:
                    copy.write(piece)
                copy.write(TRAILER)
        seconds = time.perf_counter() - start
    bench.drop_store(dsn)
    return sum(entry.records for entry in entries) / seconds


async def partitions(dsn: str, entries: Sequence[queue.Entry]) -> None:
    """Make those that the rows need: their hour may be over by now."""
    made = Partitions(dsn)
    await made.create_ahead()
    moments = {int.from_bytes(one.id[:6], "big") * 1000 for one in entries}
    await made.ensure(moments, ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--spans", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table = "spans" if options.spans else "logs"
    ours: list[float] = []
    raw: list[float] = []
    megabytes: list[float] = []
    entries = batches(table, options.records)
    transactions = packed(entries)
    with servers() as bench:
        for run in range(options.runs):
            speed, most = drain(bench, table, entries)
            ours.append(speed)
            megabytes.append(most)
            raw.append(raw_copy(bench, table, entries, transactions))
            if not options.json:
                print(f"run {run + 1}: collector {ours[-1]:,.0f} rows/s,"
                      f" raw COPY {raw[-1]:,.0f} rows/s", flush=True)  # fmt: skip
    ratios = [a / b for a, b in zip(ours, raw, strict=True)]
    result = {
        "collector_rows_per_second": round(statistics.median(ours)),
        "raw_copy_rows_per_second": round(statistics.median(raw)),
        "ratio": round(statistics.median(ratios), 2),
        "collector_megabytes": round(statistics.median(megabytes)),
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(f"median: collector {result['collector_rows_per_second']:,} rows/s,"
              f" raw COPY {result['raw_copy_rows_per_second']:,} rows/s,"
              f" ratio {result['ratio']},"
              f" memory {result['collector_megabytes']} MB")  # fmt: skip # of figures


if __name__ == "__main__":
    main()
