"""The command ``patterns``: what kinds of lines there are, and what is new."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from godot_otel import query as store_query
from godot_otel.cli import show_counts
from godot_otel.cli.filters import filters
from godot_otel.cli.read import _common, _fresh, _read, _say, _window
from godot_otel.query import Reader


@click.command()
@filters
@_window
@click.option(
    "--compare-to", default="", metavar="WHAT",
    help="previous, -1d or version:1.4.2: what is new, gone or x times as frequent"
    " comes first.",
)  # fmt: skip # one option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@_common
def patterns(
    service: str, level: str, compare_to: str, limit: int, as_json: bool,
    data_dir: Path | None, **given: Any,
) -> None:  # fmt: skip # the rest are filters by their names
    """Count kinds of lines, of WARN and above unless --level says otherwise."""
    asked = store_query.parse(component=service, level=level or "WARN", **given)

    async def ask(reader: Reader) -> store_query.Patterns:
        return await store_query.patterns(
            reader, asked, compare_to=compare_to, limit=limit
        )

    found = _read(data_dir, ask)
    if as_json:
        for one in found.patterns:
            click.echo(json.dumps(one.as_json(), ensure_ascii=False))
    else:
        show_counts.patterns(found)
    if found.compared:
        _say(f"compared with {found.compared.sentence()}")
    if found.omitted:
        _say(f"{found.omitted} patterns more: --limit, or narrower filters")
    _say(*found.notes, _fresh(found.ingest))
