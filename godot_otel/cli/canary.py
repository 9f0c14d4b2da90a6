"""``godot-otel canary``: is what applications log really stored, once, and how soon?"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click

from godot_otel import query, state
from godot_otel.cli.progress import Progress
from godot_otel.errors import SettingError

_SAY_SECONDS = 10.0


@click.command()
@click.option(
    "--rate", default=10.0, show_default=True, help="Lines a second.",
    type=click.FloatRange(0.1, 1000),
)  # fmt: skip # an option's facts share lines
@click.option(
    "--seconds", default=10.0, show_default=True, type=click.FloatRange(0.1),
    help="For how long to send.",
)  # fmt: skip
@click.option("--forever", is_flag=True, help="Until Ctrl-C; the counts every 10 s.")
@click.option(
    "--grace", default=30.0, show_default=True, type=click.FloatRange(1),
    help="Seconds a line may take before it is late, or missing.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path),
    help="Use the stack of this data directory (GODOT_DATA_DIR).",
)  # fmt: skip
def canary(
    rate: float, seconds: float, forever: bool, grace: float, as_json: bool,
    data_dir: Path | None,
) -> int:  # fmt: skip # six options
    """Send known lines as an application does, and look for each in the store.

    Lines are of the service godot-otel-canary; retention deletes them. A line is
    missing when it is not in the store after the grace time and nothing of its time
    waits in the queue or on disk; until then it is not there yet.

    Exit status 1: a line is missing or doubled, or not there yet at the end.
    """
    # OpenTelemetry comes along: no other command waits for it.
    from godot_otel.canary.book import Book
    from godot_otel.canary.sender import Sender
    from godot_otel.canary.watch import Watch
    from godot_otel_exporter.endpoint import resolve

    running = {}
    if data_dir:
        data_dir = data_dir.expanduser().absolute()
        os.environ["GODOT_DATA_DIR"] = str(data_dir)  # the spool's, too
        running = state.read(data_dir) or {}
    # One pair: a line sent to one stack is not missing from another one's store.
    endpoint = running.get("redis_url") or resolve()
    if endpoint is None:
        raise SettingError("no queue: start one with `godot-otel up`")
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # we say it ourselves
    progress = Progress()

    def say(sentence: str) -> None:
        progress.clear()
        print(sentence, file=sys.stderr, flush=True)

    shown = time.monotonic()

    def step(book: Book) -> None:
        nonlocal shown
        progress.show(_text(book.as_json()))
        if forever and time.monotonic() - shown >= _SAY_SECONDS:
            shown = time.monotonic()
            progress.clear()
            _print(book.as_json(), as_json=as_json)

    async def run() -> Watch:
        async with query.Reader(None, endpoint, data_dir=data_dir) as reader:
            watch = Watch(sender, reader, Book(grace), rate, say)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, watch.stopping.set)
            await watch.run(math.inf if forever else seconds, step)
            return watch

    sender = Sender(endpoint)
    try:
        watch = asyncio.run(run())
    finally:
        progress.clear()
        sender.close()
    _print(watch.book.as_json() | {"run": sender.run}, as_json=as_json)
    return _judge(watch, say)


def _judge(watch: Any, say: Any) -> int:
    book = watch.book
    if book.missing:
        say(
            "missing lines were sent and are neither stored nor waiting: `godot-otel"
            " dead-letters list --service godot-otel-canary` says whether they were"
            " refused"
        )
    if book.waiting and not watch.stopping.is_set():
        waits = f"{watch.queued:,} records wait in the queue" if watch.queued else ""
        why = watch.trouble or waits or "they wait on this machine's disk"
        say(f"{len(book.waiting):,} lines are not there yet: {why}")
        return 1
    return 0 if book.sound else 1


def _print(counts: dict[str, Any], *, as_json: bool) -> None:
    print(json.dumps(counts) if as_json else _text(counts), flush=True)


def _text(counts: dict[str, Any]) -> str:
    said = ", ".join(
        f"{counts[name]:,} {name}"
        for name in ("sent", "stored", "missing", "doubled", "late")
    )
    if counts["waiting"]:
        said += f", {counts['waiting']:,} not there yet"
    if counts["max_ms"] is not None:
        said += f"; p50 {counts['p50_ms']} ms, p99 {counts['p99_ms']} ms"
        said += f", longest {counts['max_ms']:,} ms"
    return said
