"""Reading commands: ``query``, ``trace``, ``traces`` and ``stats``.

Rows go to stdout; what is said about them (cut, how to go on, why empty, how fresh)
goes to stderr, so that a pipe gets rows alone.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import click

from godot_otel import query as store_query
from godot_otel.cli import show, show_counts, show_tree, source
from godot_otel.cli.filters import filters, form, of_trace, window
from godot_otel.cli.source import Source
from godot_otel.query import Filters, Line

_TRACE_MAX_LINES = 10_000
_READ_TOGETHER_RECORDS = store_query.MAX_LIMIT


@click.command()
@of_trace
@filters
@window
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1))
@click.option("--cursor", default="", help="Go on where an earlier answer ended.")
@form
def query(
    service: str, limit: int, cursor: str, as_json: bool, data_dir: Path | None,
    **given: Any,
) -> None:  # fmt: skip # the rest are filters by their names
    """Find log lines, newest first; of the last hour unless told otherwise.

    With --json stdout has one object a line; how to go on (--cursor) is on stderr.
    """
    asked = store_query.parse(component=service, **given)

    async def ask(there: Source) -> tuple[list[Line], store_query.Page]:
        return await _lines(there, asked, limit, "newest", cursor)

    lines, page = source.ask(data_dir, ask)
    show.lines(lines, as_json=as_json)
    show.say(*page.notes)
    if page.searched_to:
        show.say(f"searched as far as {store_query.rfc3339(page.searched_to, 0)}")
    show.say(
        show.fresh(page.ingest),
        page.next_cursor and f"more: --cursor {page.next_cursor}",
    )


async def _lines(
    there: Source, asked: Filters, limit: int, order: str, cursor: str = ""
) -> tuple[list[Line], store_query.Page]:
    """Read page after page until there are *limit* lines."""
    found: list[Line] = []
    while True:
        page = await there.logs(
            asked,
            limit=min(limit - len(found), _READ_TOGETHER_RECORDS),
            order=order,
            cursor=cursor,
        )
        found += page.lines
        # A page that is not full ran out of time: say so instead of going on for ever.
        if not page.next_cursor or len(found) >= limit or page.searched_to:
            return found, page
        cursor = page.next_cursor


@click.command()
@click.argument("trace_id", default="", metavar="[ID]")
@click.option("--last", is_flag=True, help="The trace that wrote last.")
@click.option("--error", is_flag=True, help="With --last: that failed.")
@click.option("--span", "span_id", default="", help="Only this span and those below.")
@click.option("--compare", default="", metavar="ID", help="What differs from it.")
@click.option(
    "--limit", default=400, show_default=True, type=click.IntRange(min=1),
    help="Rows of a tree; errors and what was slow come first.",
)  # fmt: skip # one option
@form
def trace(
    trace_id: str, last: bool, error: bool, span_id: str, compare: str, limit: int,
    as_json: bool, data_dir: Path | None,
) -> None:  # fmt: skip # one line a kind
    """Show one trace: the spans of all services as a tree, with their lines."""
    if bool(trace_id) == last or (error and not last):
        raise store_query.FilterError(
            "name one trace id, or --last, or --last with --error"
        )
    if trace_id:
        store_query.parse(trace_id=trace_id)  # refused before anything is asked

    async def ask(
        there: Source,
    ) -> tuple[store_query.TraceLines | None, list[Line], store_query.Page | None]:
        wanted = trace_id
        if last:
            newest = await there.last_trace(errors=error)
            if newest is None:
                return None, [], None
            wanted = newest.id
        named = store_query.parse(trace_id=wanted)
        found = await there.trace(named, limit=_READ_TOGETHER_RECORDS)
        if found.trace is None or not found.page.next_cursor:
            return found, found.page.lines, found.page
        whole = store_query.parse(trace_id=found.trace.id)
        lines, page = await _lines(there, whole, _TRACE_MAX_LINES, "oldest")
        return found, lines, page

    if compare:
        _compare(data_dir, trace_id, compare, last=last, error=error, as_json=as_json)
        return
    found, lines, page = source.ask(data_dir, ask)
    if found is None or found.trace is None or page is None:
        show.say(*(page.notes if page else ["no trace is stored yet"]))
        sys.exit(1)
    if found.spans:
        show_tree.tree(found, lines, span_id=span_id, limit=limit, as_json=as_json)
    else:
        show.trace(found.trace, lines, as_json=as_json)
    show.say(*found.page.notes, show.fresh(page.ingest))
    if len(lines) < found.trace.lines:
        show.say(f"{len(lines)} of {found.trace.lines} lines shown")


def _compare(
    data_dir: Path | None, trace_id: str, other: str, *, last: bool, error: bool,
    as_json: bool,
) -> None:  # fmt: skip # as few lines
    store_query.parse(trace_id=other)

    async def ask(there: Source) -> store_query.Difference | None:
        newest = await there.last_trace(errors=error) if last else None
        wanted = newest.id if newest else trace_id
        if not wanted:
            return None
        return await there.compare(store_query.parse(trace_id=wanted), other)

    found = source.ask(data_dir, ask)
    if found is None:
        show.say("no trace is stored yet")
        sys.exit(1)
    show_tree.difference(found, as_json=as_json)


@click.command()
@filters
@click.option("--operation", default="", help="Name of a span; * as above.")
@window
@click.option("--errors", is_flag=True, help="Only traces with an error.")
@click.option("--slowest", is_flag=True, help="The longest first: --sort slowest.")
@click.option(
    "--sort", type=click.Choice(["recent", "slowest", "errors"]), default="recent",
    show_default=True,
)  # fmt: skip # one option
@click.option(
    "--min-duration", default="", metavar="TIME",
    help="At least 500ms, 1.5s or 2m; with --operation, of its span.",
)  # fmt: skip # one option
@click.option(
    "--min-duration-ms", default=0.0, type=click.FloatRange(min=0), hidden=True
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@click.option("--cursor", default="", help="Go on where an earlier answer ended.")
@form
def traces(
    service: str, errors: bool, slowest: bool, sort: str, min_duration: str,
    min_duration_ms: float, limit: int, cursor: str, as_json: bool,
    data_dir: Path | None, **given: Any,
) -> None:  # fmt: skip # the rest are filters by their names
    """Find traces with a span or a line that matches, the newest first."""
    min_duration_ms = _milliseconds(min_duration) if min_duration else min_duration_ms
    asked = store_query.parse(component=service, **given)
    sort = "slowest" if slowest else sort

    async def ask(there: Source) -> store_query.Traces:
        return await there.traces(
            asked, errors=errors, sort=sort, min_duration_ms=min_duration_ms,
            limit=limit, cursor=cursor,
        )  # fmt: skip # one question

    page = source.ask(data_dir, ask)
    show.traces(page.traces, as_json=as_json)
    show.say(*page.notes, show.fresh(page.ingest))
    if page.searched_to:
        show.say(f"searched as far as {store_query.rfc3339(page.searched_to, 0)}")
    show.say(page.next_cursor and f"more: --cursor {page.next_cursor}")


def _milliseconds(text: str) -> float:
    """Read 500ms, 1.5s or 2m."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|)", text.strip(), re.ASCII)
    if not found:
        raise store_query.FilterError(
            f"--min-duration: {text[:50]!r} is no duration; write 500ms, 1.5s or 2m"
        )
    return float(found[1]) * {"s": 1e3, "m": 6e4}.get(found[2], 1.0)


@click.command()
@filters
@window
@click.option(
    "--group-by", default="", metavar="WHAT",
    help="service, level, template, environment, version, operation, or an attribute's"
    " key.",
)  # fmt: skip # one option
@click.option(
    "--operations", is_flag=True,
    help="Spans by operation, their errors and durations: --group-by operation.",
)  # fmt: skip # one option
@click.option("--histogram", is_flag=True, help="Counts over time: --bucket auto.")
@click.option("--bucket", default="", help="Counts over time: 1m, 5m, 1h or auto.")
@click.option(
    "--fields", default="", metavar="true|KEY",
    help="Which attributes the newest lines have, or the values of one.",
)  # fmt: skip # one option
@form
def stats(
    service: str, group_by: str, histogram: bool, bucket: str, fields: str,
    operations: bool, as_json: bool, data_dir: Path | None, **given: Any,
) -> None:  # fmt: skip # the rest are filters by their names
    """Count lines by level and service, or spans by operation; minutes count whole."""
    asked = store_query.parse(component=service, **given)
    group_by = "operation" if operations else group_by
    bucket = bucket or ("auto" if histogram else "")

    async def ask(there: Source) -> store_query.Stats:
        return await there.stats(asked, group_by=group_by, bucket=bucket, fields=fields)

    counted = source.ask(data_dir, ask)
    if as_json:
        click.echo(show.as_line(counted.as_json()))
        return
    if counted.operations is not None:
        show_counts.operations(counted)
    elif counted.histogram:
        show_counts.histogram(counted)
    elif counted.fields:
        show_counts.fields(counted)
    else:
        show.stats(counted)
    show.say(*counted.notes)
