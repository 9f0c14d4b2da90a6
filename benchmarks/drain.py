"""Rows a second of one collector, queue to committed rows, against raw COPY.

Raw COPY: the same rows preformatted, one connection, the same parent and indexes, the
same rows a transaction. Runs alternate; medians count.

    python benchmarks/drain.py [--records 200000] [--runs 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import psycopg
from generator import batches
from servers import Servers, servers

from godot_otel import queue
from godot_otel_collector.decode import COLUMNS, Decoder
from godot_otel_collector.group import HEADER, TRAILER, Packed
from godot_otel_collector.partitions import Partitions


def drain(bench: Servers, records: int) -> float:
    """Fill the queue, then time a collector from ready to the last acknowledgement."""
    import redis

    dsn = bench.new_store()
    client = redis.Redis.from_url(bench.valkey.url)
    producer = queue.Producer(bench.valkey.url, socket_timeout=30)
    for entry in batches(records):
        producer.admit(entry)
    with bench.collector(dsn):
        start = time.perf_counter()
        while client.xlen(queue.stream_key()):
            time.sleep(0.005)
        seconds = time.perf_counter() - start
    producer.close()
    client.close()
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT count(*) FROM logs").fetchone()
    assert found == (records,), found
    return records / seconds


def raw_copy(bench: Servers, records: int) -> float:
    """COPY the same rows, packed beforehand, 20,000 a transaction."""
    import asyncio

    dsn = bench.new_store()
    asyncio.run(Partitions(dsn).create_ahead())
    decoder = Decoder(retention_days=7)
    stream_id = b"%d-0" % (time.time_ns() // 1_000_000)
    rows: list[bytes] = []
    for entry in batches(records):
        fields = entry.fields()
        pairs = dict(zip(fields[::2], fields[1::2], strict=True))
        rows += decoder.decode((stream_id, pairs)).rows.packed
    packed = [
        [
            bytes(Packed(rows[i : min(i + 1024, start + 20_000)]).numbered(i))
            for i in range(start, min(start + 20_000, len(rows)), 1024)
        ]
        for start in range(0, len(rows), 20_000)
    ]
    statement = f"COPY logs ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
    with psycopg.connect(dsn, autocommit=True) as connection:
        start = time.perf_counter()
        for pieces in packed:
            with connection.cursor().copy(statement) as copy:
                copy.write(HEADER)
                for piece in pieces:
                    copy.write(piece)
                copy.write(TRAILER)
        return records / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ours: list[float] = []
    raw: list[float] = []
    with servers() as bench:
        for run in range(options.runs):
            ours.append(drain(bench, options.records))
            raw.append(raw_copy(bench, options.records))
            if not options.json:
                print(f"run {run + 1}: collector {ours[-1]:,.0f} rows/s,"
                      f" raw COPY {raw[-1]:,.0f} rows/s", flush=True)  # fmt: skip
    ratios = [a / b for a, b in zip(ours, raw, strict=True)]
    result = {
        "collector_rows_per_second": round(statistics.median(ours)),
        "raw_copy_rows_per_second": round(statistics.median(raw)),
        "ratio": round(statistics.median(ratios), 2),
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(f"median: collector {result['collector_rows_per_second']:,} rows/s,"
              f" raw COPY {result['raw_copy_rows_per_second']:,} rows/s,"
              f" ratio {result['ratio']}")  # fmt: skip # one line of figures


if __name__ == "__main__":
    main()
