"""Parts of words and patterns, which no filter finds, over many rows of one hour.

    python benchmarks/scan.py [--rows 18000000] [--json]

Each answer is what a person gets who asks once: lines, or how far the search has come,
and a cursor to go on. Then the cursor is followed to the end of the hour. One row
in six is stored as a collector does; Postgres copies it five times, a microsecond later
each, in the order of time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import big_store
import psycopg
from servers import Servers, servers

from godot_otel import query
from godot_otel_collector import columns

COPIES = 5
ASKED = {
    "substring, frequent": "body~PacketResponder",
    "substring, nowhere": "body~zyzzyv",
    "regex, frequent": r"body~blk_-?\d+ terminating",
    "regex, nowhere": r"body~user \d+ paid \d+ euros",
    "attribute, nowhere": "region=eu-77x",
}


def build(bench: Servers, rows: int) -> str:
    """Fill a store with *rows* rows of one hour; return its DSN."""
    dsn = bench.new_store()
    big_store.build(dsn, rows=rows // (COPIES + 1), hours=1)
    others = ", ".join(c for c in columns.LOGS.split(", ") if c not in ("seq", "time"))
    with psycopg.connect(dsn, autocommit=True) as connection:
        # By time, as rows come to a collector.
        connection.execute("CREATE UNLOGGED TABLE once AS SELECT * FROM logs")
        connection.execute("TRUNCATE logs")
        connection.execute("SET work_mem = '256MB'")
        connection.execute(
            f"INSERT INTO logs (seq, time, {others})"
            f" SELECT seq + (SELECT max(seq) FROM once) * n,"
            f" time + make_interval(secs => n * 1e-6), {others}"
            f" FROM once, generate_series(0, {COPIES}::bigint) AS n ORDER BY time, n"
        )
        connection.execute("DROP TABLE once")
        connection.execute("VACUUM (ANALYZE) logs")
    return dsn


async def measure(bench: Servers, dsn: str) -> dict[str, dict[str, float]]:
    """Ask each; what the first answer took, and all until there are lines."""
    found = {}
    async with query.Reader(dsn, bench.valkey.url) as reader:
        await query.logs(reader, query.parse(since="-1m"), limit=1)  # connects
        for name, where in ASKED.items():
            filters = query.parse(since="-3h", where=(where,))
            began = time.perf_counter()
            page = await query.logs(reader, filters, limit=50)
            first = time.perf_counter() - began
            assert page.lines or page.next_cursor or not page.searched_to
            answers = 1
            while not page.lines and page.next_cursor:
                page = await query.logs(
                    reader, filters, limit=50, cursor=page.next_cursor
                )
                answers += 1
            found[name] = {
                "first_answer_ms": round(first * 1000),
                "answers": answers,
                "to_lines_or_the_end_s": round(time.perf_counter() - began, 1),
                "lines": len(page.lines),
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=18_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with servers() as bench:
        began = time.perf_counter()
        dsn = build(bench, options.rows)
        if not options.json:
            took = time.perf_counter() - began
            print(f"built {options.rows:,} rows in {took:.0f} s", flush=True)
        found = asyncio.run(measure(bench, dsn))
    if options.json:
        print(json.dumps(found))
        return
    for name, one in found.items():
        print(f"{name:<22}" + ", ".join(f"{k.replace('_', ' ')} {v}"
                                        for k, v in one.items()))  # fmt: skip # a row


if __name__ == "__main__":
    main()
