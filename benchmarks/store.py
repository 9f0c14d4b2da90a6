"""Bytes a record takes on disk, beside the original design's schema.

    python benchmarks/store.py [--rows 2000000] [--json]

Everything counts: tables, all their indexes, word filters, rollups, the ledger and the
dictionaries; both stores have the same records, of two hours, and are vacuumed. Ours is
measured twice: as lines are for a day after they came, and packed, as they are then;
with how many lines a second are packed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import big_store
import psycopg
from original import SCHEMA
from servers import Servers, servers

HOURS, HOURS_AGO = 2, 25
DAYS = 7  # of retention by default; one of them is not packed yet
OURS = ("logs", "log_packs", "word_filters", "trace_index", "log_counts", "batches")
DICTIONARIES = ("resources", "scopes", "templates", "emitters")
COLUMNS = "trace_id, component, level, message, data, created_at"


def filled(bench: Servers, rows: int) -> str:
    """Fill a store of ours with records that are old enough to be packed."""
    dsn = bench.new_store()
    big_store.build(
        dsn, rows=rows, hours=HOURS, hours_ago=HOURS_AGO, closed=False
    )  # fmt: skip # what, and when
    asyncio.run(big_store.close(dsn))
    return dsn


def tables(dsn: str, rows: int) -> dict[str, float]:
    """The bytes a record of a store of ours, by table."""
    with psycopg.connect(dsn) as connection:
        return {
            table: size(connection, table) / rows for table in (*OURS, *DICTIONARIES)
        }


def original(bench: Servers, dsn: str, rows: int) -> float:
    """Copy the rows of *dsn* into the original's schema; return the bytes a record."""
    other = bench.new_store(migrated=False)
    with psycopg.connect(other, autocommit=True) as connection:
        connection.execute(SCHEMA)
        today = datetime.now(UTC).date()
        for day in (today - timedelta(n) for n in range(4)):
            connection.execute(
                f"CREATE TABLE logs_{day:%Y%m%d} PARTITION OF logs_original FOR VALUES"
                f" FROM ('{day} 00:00+00') TO ('{day + timedelta(1)} 00:00+00')"
            )
        statement = f"COPY logs_original ({COLUMNS}) FROM STDIN"
        with connection.cursor().copy(statement) as copy:
            for data in exported(dsn):
                copy.write(data)
        connection.execute("VACUUM (ANALYZE) logs_original")
        found = connection.execute("SELECT count(*) FROM logs_original").fetchone()
        assert found == (rows,), found
        return size(connection, "logs_original") / rows


def exported(dsn: str) -> Iterator[memoryview]:
    """The records as the original kept them."""
    query = (
        "SELECT trace_id, service, severity_name(severity), body, attributes, time"
        " FROM logs ORDER BY seq"
    )
    with (
        psycopg.connect(dsn) as connection,
        connection.cursor().copy(f"COPY ({query}) TO STDOUT") as copy,
    ):
        yield from copy


def size(connection: psycopg.Connection, table: str) -> int:
    """Bytes of a table with its partitions, indexes and all."""
    row = connection.execute(
        "SELECT coalesce(sum(pg_total_relation_size(relid)), 0)"
        " FROM (SELECT %s::regclass AS relid UNION"
        " SELECT relid::regclass FROM pg_partition_tree(%s::regclass)) AS tree",
        [table, table],
    ).fetchone()
    assert row is not None
    return int(row[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = options.rows // HOURS * HOURS
    with servers() as bench:
        dsn = filled(bench, rows)
        young = tables(dsn, rows)
        theirs = original(bench, dsn, rows)
        began = time.monotonic()
        asyncio.run(big_store.pack(dsn))
        speed = rows / (time.monotonic() - began)
        packed = tables(dsn, rows)
    sums = {"a day old at most": young, "packed": packed}
    whole = {name: sum(each.values()) for name, each in sums.items()}
    first, later = whole.values()
    whole[f"of {DAYS} days"] = (first + (DAYS - 1) * later) / DAYS
    if options.json:
        found = {"ours": sums, "sums": whole, "original": theirs}
        print(json.dumps(found | {"packed_a_second": speed}))
        return
    print(f"{'bytes a record':<18}" + "".join(f"{name:>20}" for name in sums))
    for table in young:
        print(
            f"{table:<18}" + "".join(f"{each[table]:20.1f}" for each in sums.values())
        )
    for name, each in whole.items():
        print(f"{name}: {each:.0f}, {each / theirs:.2f} of the original's {theirs:.0f}")
    print(
        f"packed {speed:,.0f} lines/s; with the pauses of maintenance a quarter of it"
    )


if __name__ == "__main__":
    main()
