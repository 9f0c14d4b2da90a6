"""How rows look: coloured columns in local time on a terminal, plain UTC in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from godot_otel.query import LEVELS, Ingest, Line, Stats, Trace, rfc3339, sanitize

COLOURS = {
    "TRACE": "dim", "DEBUG": "dim", "INFO": "green", "WARN": "yellow",
    "ERROR": "bold red", "FATAL": "bold white on red",
}  # fmt: skip # a level beside its colour

_INDENT = 4
_WIDE = 120  # columns of a terminal; with fewer, texts go below numbers
_ERROR_MAX = 200  # characters of a first error
# Columns that others wrote and that wrap, so that no name, however long, takes the room
# of times and numbers.
_TEXTS = {
    "line", "first error", "operation", "service", "services", "logger", "attribute",
    "value", "top values",
}  # fmt: skip # names of columns
_NAME_MAX = 48
_LONGEST = ("line", "first error")  # take what is left, however little
_MAX_KEPT = 40  # columns that a cell keeps, however narrow the terminal


def plain(text: str) -> str:
    """Text without what could control a terminal or break a line."""
    return sanitize.line(text)


def shortened(name: str) -> str:
    """A name that may be long, and may be anybody's."""
    clean = plain(name)
    return clean if len(clean) <= _NAME_MAX else clean[: _NAME_MAX - 1] + "…"


def say(*sentences: str | None) -> None:
    """Say on stderr what is said about rows."""
    for sentence in sentences:
        if sentence:
            click.echo(plain(sentence), err=True)


def fresh(ingest: Ingest) -> str | None:
    """How fresh rows are, where that is worth a sentence."""
    return ingest.sentence() if ingest.queue_depth or ingest.dropped else None


def terminal() -> bool:
    """Whether a person looks at stdout."""
    return sys.stdout.isatty()


def as_line(value: Any) -> str:
    """JSON on one line, readable in any language, that cannot control a terminal."""
    return sanitize.escaped(json.dumps(value, ensure_ascii=False))


def lines(found: Sequence[Line], *, as_json: bool) -> None:
    """Print lines in the order given."""
    if as_json:
        now = datetime.now(UTC)
        for one in found:
            click.echo(as_line(one.as_json(now)))
    elif terminal():
        rows = [[local(one.time), *_columns(one), _trace(one)] for one in found]
        grid(["time", "level", "service", "logger", "line", "trace"], rows)
        say_zone([one.time for one in found])
    else:
        for one in found:
            when = rfc3339(one.time, one.nanos)
            click.echo(" ".join([when, *map(str, _columns(one)), _trace(one)]))


def followed(one: Line, *, as_json: bool) -> None:
    """Print a line as it comes; on a terminal coloured, and in no column."""
    if as_json or not terminal():
        lines([one], as_json=as_json)
        return
    cells = [local(one.time), *_columns(one), _trace(one)]
    row = Text(" ").join(Text(one) if isinstance(one, str) else one for one in cells)
    Console(highlight=False, markup=False).print(row, soft_wrap=True)


def trace(summary: Trace, found: Sequence[Line], *, as_json: bool) -> None:
    """Print one trace's lines with their distance from its first one."""
    if as_json:
        lines(found, as_json=True)
        return
    facts = summary.as_json()
    start = local(summary.first) if terminal() else facts["start"]
    click.echo(
        f"trace {summary.id}  {start}  {facts['duration_ms']} ms"
        f"  lines {summary.lines}  errors {summary.errors}"
    )
    rows = [[_offset(one.time - summary.first), *_columns(one)] for one in found]
    stacks = [_stack(one) for one in found]
    if terminal():
        grid(["", "level", "service", "logger", "line"], rows, stacks)
        say_zone([one.time for one in found])
        return
    for row, stack in zip(rows, stacks, strict=True):
        # Indented, no line of a stack trace can pose as a row.
        click.echo(" ".join(map(str, row)))
        for line in stack:
            click.echo(_INDENT * " " + line)


def _stack(one: Line) -> list[str]:
    if not one.stack:
        return []
    return [line.expandtabs(4) for line in sanitize.block(one.stack)]


def traces(found: Sequence[Trace], *, as_json: bool) -> None:
    """Print one line for each trace."""
    if as_json:
        for one in found:
            click.echo(as_line(one.as_json()))
        return
    rows: list[list[str | Text]] = []
    blocks: list[list[str]] = []
    for one in found:
        facts = one.as_json()
        start = local(one.first) if terminal() else facts["start"]
        failed = one.errors + one.span_errors
        errors = Text(str(failed), "bold red" if failed else "")
        numbers: list[str | Text] = [
            f"{facts['duration_ms']} ms", f"{one.spans}", str(one.lines), errors,
        ]  # fmt: skip # as the titles
        said, began = "", "-"
        if root := one.root:
            began = f"{shortened(root.service)}: {shortened(root.name)}"
            began += " ERROR" if root.failed else ""
        if error := one.first_error:
            said = plain(f"{error.body} {error.failure}")[:_ERROR_MAX]
            said = f"{shortened(error.service)}: {said}"
        services = plain(", ".join(one.components))
        shown = one.id[:8] if terminal() else one.id
        said = said.strip()
        if _narrow():
            rows.append([shown, start, *numbers])
            blocks.append([f"{began}  ({services})", *([said] if said else [])])
        else:
            rows.append([shown, start, began, *numbers, services, said])
    if terminal():
        counts = ["duration", "spans", "lines", "errors"]
        if _narrow():
            titles = ["trace", "start", *counts]
        else:
            titles = ["trace", "start", "operation", *counts, "services"]
            titles.append("first error")
        grid(titles, rows, blocks)
        say_zone([one.first for one in found])
        return
    for row in rows:
        click.echo(" ".join(map(str, row)).rstrip())


def _narrow() -> bool:
    """Whether texts beside a row's numbers would be a few letters wide."""
    return terminal() and Console().width < _WIDE


def stats(counted: Stats) -> None:
    """Print counts as a table, then how full and fresh the store is."""
    names = [name for name in (*LEVELS, "UNKNOWN") if name in counted.levels]
    rows = []
    for one in counted.groups:
        seen = rfc3339(one.last_seen) if one.last_seen else "-"
        numbers = [str(one.levels.get(name, 0)) for name in names]
        rows.append([shortened(one.name), *numbers, seen])
    rows.append(["(all)", *(str(counted.levels[name]) for name in names), ""])
    grid([counted.group_by, *names, "last seen"], rows)
    if counted.omitted:
        click.echo(f"{counted.omitted} more with fewer lines are not shown")
    storage = counted.storage
    oldest = rfc3339(storage.oldest) if storage.oldest else "-"
    click.echo(counted.ingest.sentence())
    click.echo(
        f"store: {storage.bytes / 1e6:.1f} MB in {storage.partitions} partitions,"
        f" oldest line {oldest}, keeps {storage.retention_days} days"
    )


def _columns(one: Line) -> list[str | Text]:
    level = one.level or "-"
    said = plain(one.body)
    if one.failure:
        said += "  " + plain(one.failure)
    if told := one.told:
        said += "  " + plain(json.dumps(told, ensure_ascii=False))
    return [
        Text(f"{level:<5}", COLOURS.get(level, "")),
        plain(one.service),
        plain(one.logger) or "-",
        said,
    ]


def _trace(one: Line) -> str:
    return (one.trace_id or "-")[:8] if terminal() else one.trace_id or "-"


def local(time: datetime) -> str:
    """Write a time as this machine's clock has it."""
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3]


def _offset(distance: timedelta) -> str:
    return f"+{distance / timedelta(milliseconds=1):.1f}ms"


def say_zone(times: Sequence[datetime]) -> None:
    """Say which zone local times are in."""
    if times:
        zone = times[0].astimezone()
        click.echo(f"times are local ({zone:%Z}, UTC{zone:%z})", err=True)


def grid(
    titles: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    blocks: Sequence[Sequence[str]] = (),
) -> None:
    """Align columns; in a pipe without colours, wrapping or markup.

    *blocks* are lines to print below each row, dimmed and as wide as the terminal.
    """
    console = Console(highlight=False, markup=False, width=None if terminal() else 1000)
    cells = [
        [Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    ]
    # Every block ends a table; those that follow must be as wide.
    widths = [
        min(_MAX_KEPT, max(row[place].cell_len for row in cells)) if any(blocks) else 0
        for place in range(len(titles))
    ]
    below = dict(enumerate(blocks))
    table = _table(titles, widths, header=True)
    for place, row in enumerate(cells):
        table.add_row(*row)
        if below.get(place):
            console.print(table)
            block = Text("\n".join(below[place]), "dim", overflow="fold")
            console.print(Padding(block, (0, 0, 0, _INDENT), expand=False))
            table = _table(titles, widths, header=False)
    if table.row_count or not cells:
        console.print(table)


def _table(titles: Sequence[str], widths: Sequence[int], *, header: bool) -> Table:
    """A table whose columns are as wide as those of the others with *widths*."""
    table = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim",
        show_header=header,
    )  # fmt: skip # one table
    for title, width in zip(titles, widths, strict=True):
        wraps = title in _TEXTS
        gives = title in _LONGEST or (wraps and not width)
        table.add_column(
            title,
            no_wrap=not wraps,
            overflow="fold",
            min_width=None if gives else max(width, len(title)),
        )
    return table
