"""``godot-otel tail``: lines as they are stored, until it is stopped.

Rows go to stdout, what is said about them to stderr. Goes on by itself where the store
or the server was away, without a gap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from godot_otel import query
from godot_otel.cli import show, source
from godot_otel.cli.filters import filters, form, of_trace
from godot_otel.cli.source import Source


@click.command()
@of_trace
@filters
@form
def tail(service: str, as_json: bool, data_dir: Path | None, **given: Any) -> None:
    """Print log lines as they are stored, each once, until Ctrl-C.

    In the order in which they were stored, which is nearly that of their times.
    """
    asked = query.parse(component=service, **given)

    async def follow(there: Source) -> None:
        async for one in there.follow(asked, say=show.say):
            show.followed(one, as_json=as_json)

    source.ask(data_dir, follow)
