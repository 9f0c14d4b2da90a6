"""``godot-otel tail``: lines as they are stored, until it is stopped.

Rows go to stdout, what is said about them to stderr. Goes on by itself where the store
or the server was away, without a gap.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import click

from godot_otel import query
from godot_otel.cli import show
from godot_otel.cli.source import opened


@click.command()
@click.option("--trace-id", default="", help="32 hex digits or their first 8 or more.")
@click.option("--service", default="", help="Name; a trailing * is a prefix.")
@click.option("--logger", default="", help="Name of the logger; * as in --service.")
@click.option("--environment", default="")
@click.option("--version", default="", help="Of the service.")
@click.option("--level", default="", help="At least TRACE DEBUG INFO WARN ERROR FATAL.")
@click.option("--search", default="", help='Whole words, all of them; "in a row".')
@click.option(
    "--where", multiple=True,
    help="key=value key!=value key~regex key>n key<n 'key exists'; body~regex for the"
    " line itself; up to 8 times.",
)  # fmt: skip # one option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Read the stack of this data directory (GODOT_DATA_DIR).",
)
def tail(service: str, as_json: bool, data_dir: Path | None, **given: Any) -> None:
    """Print log lines as they are stored, each once, until Ctrl-C.

    In the order in which they were stored, which is nearly that of their times.
    """
    filters = query.parse(component=service, **given)
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # we say it ourselves

    async def run() -> None:
        async with opened(data_dir) as source:
            async for one in source.follow(filters, say=_say):
                show.followed(one, as_json=as_json)

    asyncio.run(run())


def _say(sentence: str) -> None:
    click.echo(show.plain(sentence), err=True)
