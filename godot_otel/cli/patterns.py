"""The command ``patterns``: what kinds of lines there are, and what is new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from godot_otel import query as store_query
from godot_otel.cli import show, show_counts, source
from godot_otel.cli.filters import filters, form, window
from godot_otel.cli.source import Source


@click.command()
@filters
@window
@click.option(
    "--compare-to", default="", metavar="WHAT",
    help="previous, -1d or version:1.4.2: what is new, gone or x times as frequent"
    " comes first.",
)  # fmt: skip # one option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@form
def patterns(
    service: str, level: str, compare_to: str, limit: int, as_json: bool,
    data_dir: Path | None, **given: Any,
) -> None:  # fmt: skip # the rest are filters by their names
    """Count kinds of lines, of WARN and above unless --level says otherwise."""
    asked = store_query.parse(component=service, level=level or "WARN", **given)

    async def ask(there: Source) -> store_query.Patterns:
        return await there.patterns(asked, compare_to=compare_to, limit=limit)

    found = source.ask(data_dir, ask)
    if as_json:
        for one in found.patterns:
            click.echo(show.as_line(one.as_json()))
    else:
        show_counts.patterns(found)
    if found.compared:
        show.say(f"compared with {found.compared}")
    if found.omitted:
        show.say(f"{found.omitted} patterns more: --limit, or narrower filters")
    show.say(*found.notes, show.fresh(found.ingest))
