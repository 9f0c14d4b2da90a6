"""What an agent waits for and reads: each question of each tool, over a big store.

    python benchmarks/query.py [--rows 10000000] [--hours 168] [--rounds 30] [--json]

The store is built first (``big_store.py``), beside a queue that is empty. Each question
is asked through the MCP server, in memory, with other arguments each time; the first
answer of each is not counted. Printed: milliseconds, and the bytes of the answers.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

import big_store
from generator import ROUTES, SERVICES
from lookup import traces
from mcp import Client
from servers import servers

from godot_otel import query
from godot_otel.access import SCOPES
from godot_otel.mcp import server
from godot_otel.mcp.authority import Authority

Question = tuple[str, str, dict[str, Any]]
"""A tool, what it is asked, and with which arguments."""


def questions(ids: Iterator[str], rng: random.Random) -> list[Question]:
    """Ask each tool as agents do; one more tool is one more line."""
    hours = rng.randrange(2, 24)
    window = {"start_time": f"-{hours}h", "end_time": f"-{hours - 1}h"}
    service = {"component": rng.choice(SERVICES)}
    errors = {**service, **window, "level": "ERROR"}
    route = {"where": [f"http.route={rng.choice(ROUTES)}"]}
    day = {"start_time": "-1d"}
    errors_fields = {**errors, "fields": "true"}
    before = {**window, "compare_to": "previous"}
    region = {**window, "group_by": "region"}
    number = {"search": str(rng.randrange(10**5))}
    return [
        ("logger_query", "the newest 50 lines", {}),
        ("logger_query", "errors of a service, an hour", errors),
        ("logger_query", "a number in the text, a day", {**number, **day}),
        ("logger_query", "an attribute, an hour", {**route, **window}),
        ("logger_query", "a trace", {"trace_id": next(ids)}),
        ("logger_get_trace", "a trace by its id", {"trace_id": next(ids)}),
        ("logger_get_trace", "the same by 12 digits", {"trace_id": next(ids)[:12]}),
        ("logger_find_traces", "with errors, an hour", {**window, "level": "ERROR"}),
        ("logger_find_traces", "the slowest of an hour", {**window, "sort": "slowest"}),
        ("logger_patterns", "the last hour", {}),
        ("logger_patterns", "an hour and the one before", before),
        ("logger_patterns", "a service, a day", {**service, **day}),
        ("dewey_get_log_stats", "the last hour", {}),
        ("dewey_get_log_stats", "an hour by an attribute", region),
        ("dewey_get_log_stats", "attributes of an hour's errors", errors_fields),
        ("dewey_get_log_stats", "a day over time", {**day, "bucket": "auto"}),
        ("dewey_get_log_stats", "a service, a day", {**service, **day}),
        ("dewey_get_log_stats", "all seven days", {"start_time": "-7d"}),
    ]  # fmt: skip # a question a line


async def measure(client: Client, dsn: str, rounds: int) -> dict[str, dict[str, float]]:
    """Ask everything *rounds* times; give what each took, and how long answers are."""
    ids, rng = itertools.cycle(traces(dsn)), random.Random(1)
    gc.freeze()  # as every server of ours does before it serves
    took: dict[str, list[float]] = {}
    sizes: dict[str, list[int]] = {}
    for number in range(rounds + 1):
        for tool, what, arguments in questions(ids, rng):
            began = time.perf_counter()
            result = await client.call_tool(tool, arguments)
            ms = (time.perf_counter() - began) * 1000
            text = result.content[0].text  # type: ignore[union-attr]
            assert not result.is_error, f"{tool}: {text}"
            if number:
                took.setdefault(f"{tool}: {what}", []).append(ms)
                sizes.setdefault(f"{tool}: {what}", []).append(len(text.encode()))
    return {
        name: {
            "p50_ms": statistics.median(took[name]),
            "p95_ms": statistics.quantiles(took[name], n=20)[-1],
            "median_bytes": statistics.median(sizes[name]),
            "most_bytes": max(sizes[name]),
        }
        for name in took
    }


async def listed(client: Client) -> int:
    """Say how many bytes of compact JSON a client reads before it asks anything."""
    tools = await client.list_tools()
    found = tools.model_dump(mode="json", by_alias=True, exclude_none=True)["tools"]
    return len(json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode())


async def ask(dsn: str, redis_url: str, rounds: int) -> dict[str, Any]:
    """Measure through one server; one that allows all lists more."""
    everything = Authority(SCOPES, redis_url=redis_url, dsn=dsn)
    async with (
        query.Reader(dsn, redis_url) as reader,
        Client(server.build(reader)) as client,
        Client(server.build(reader, everything)) as allowed,
    ):
        return {
            "tools_list_bytes": await listed(client),
            "with_every_tool": await listed(allowed),
            "tools": await measure(client, dsn, rounds),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--hours", type=int, default=168)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with servers() as bench:
        dsn = bench.new_store()
        seconds = big_store.build(dsn, rows=options.rows, hours=options.hours)
        if not options.json:
            print(f"built {options.rows:,} rows over {options.hours} hours in"
                  f" {seconds:.0f} s", flush=True)  # fmt: skip # one line
        found = asyncio.run(ask(dsn, bench.valkey.url, options.rounds))
    if options.json:
        print(json.dumps(found))
        return
    print(f"tools/list: {found['tools_list_bytes']:,} bytes, with every tool allowed"
          f" {found['with_every_tool']:,}")  # fmt: skip # one line
    print(f"{'':<50}{'p50 ms':>9}{'p95 ms':>9}{'bytes':>9}{'most':>9}")
    for name, one in found["tools"].items():
        print(f"{name:<50}{one['p50_ms']:9.1f}{one['p95_ms']:9.1f}"
              f"{one['median_bytes']:9,.0f}{one['most_bytes']:9,}")  # fmt: skip # a row


if __name__ == "__main__":
    main()
