"""How a trace with spans looks: a coloured tree on a terminal, indented in a pipe."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.console import Console
from rich.text import Text

from godot_otel.cli.show import COLOURS, as_line, lines, local, say, say_zone, terminal
from godot_otel.query import (
    Difference,
    Line,
    Row,
    TraceLines,
    build,
    failing,
    nanoseconds,
    outline,
    sanitize,
)
from godot_otel.query.difference_text import rows as difference_rows
from godot_otel.query.difference_text import sides
from godot_otel.query.tree import focused
from godot_otel.query.tree_text import DEEPEST, Cells, cells, details, headlines, indent

_MAX_CHARS = 300
_SLOW = 0.25  # share of the whole that is coloured
_ROOM = 10_000_000  # characters: rows are what is limited here


def tree(
    found: TraceLines, read: Sequence[Line], *, span_id: str, limit: int, as_json: bool
) -> None:
    """Print a trace's spans and lines: *limit* rows, and what was left out.

    As JSON all that was read: spans first, each an object with a ``name``, then lines.
    """
    assert found.trace
    trace = found.trace
    whole = build(found.spans, read, stored=trace.spans)
    focus = focused(whole, span_id)
    if as_json:
        for span in found.spans:
            click.echo(as_line(span.as_json()))
        lines(read, as_json=True)
        return
    begin, broken = nanoseconds(trace.first), failing(whole)
    shown = outline(
        [focus] if focus else whole.roots, [] if focus else whole.lines,
        limit=limit, room=_ROOM, size=lambda row: 1, first=broken,
    )  # fmt: skip # one call
    console = Console(highlight=False, markup=False)
    facts = trace.as_json()
    start = local(trace.first) if terminal() else facts["start"]
    click.echo(
        f"trace {trace.id}  {start}  {facts['duration_ms']} ms  spans {trace.spans}"
        f"  lines {trace.lines}  errors {trace.errors}"
        f"  failed spans {trace.span_errors}"
    )
    if focus:
        said = details(focus.span, begin) if focus.span else []
    else:
        said = headlines(whole, broken, found.linked, _MAX_CHARS)
    for one in said:
        if terminal() and one.startswith("fails in "):
            console.print(Text(one, "bold red"), soft_wrap=True)
        else:
            click.echo(one)
    duration = focus.duration_ns if focus else whole.duration_ns
    _rows(shown.rows, begin, duration, console)
    if terminal():
        say_zone([trace.first])
    spans = max(shown.spans, 0 if focus else trace.spans)
    if not shown.whole or spans > shown.spans:
        folded = f", {shown.folded} in rows of several" if shown.folded else ""
        say(
            f"{shown.spans_shown} of {spans} spans{folded} and"
            f" {shown.lines_shown} of {shown.lines} lines shown"
            f"{'' if not shown.left_out else ': --limit, or --span for one'}"
        )


def difference(found: Difference, *, as_json: bool) -> None:
    """Print what differs between two traces."""
    if as_json:
        click.echo(as_line(found.as_json()))
        return
    for one in (*sides(found), *difference_rows(found)):
        click.echo(one)


def _rows(rows: Sequence[Row], begin: int, duration: int, console: Console) -> None:
    open_: list[bool] = []
    """Of each level above, whether siblings are yet to come."""
    for row in rows:
        said = cells(row, begin, duration, _MAX_CHARS)
        del open_[row.depth :]
        open_.append(not row.last)
        stack = row.line.stack if row.line and row.line.failed else ""
        block = [one.expandtabs(4) for one in sanitize.block(stack)] if stack else []
        if terminal():
            below = f"{'':>10} {'':>9}  {_branches(open_, inside=True)}"
            console.print(_coloured(row, said, open_), soft_wrap=True)
            for one in block:
                console.print(Text(below).append(f"    {one}", "dim"), soft_wrap=True)
            continue
        begins = indent(row.depth)
        click.echo(
            f"{said.offset:>10} {said.took:>8}  {begins}{said.says} {said.id}".rstrip()
        )
        for one in block:
            click.echo(f"{'':>21}{begins}    {one}")


def _branches(open_: list[bool], *, inside: bool = False) -> str:
    """The lines of the tree before a row; *inside*: below the row's own first line."""
    levels = open_[1:]  # roots hang on nothing
    if len(levels) > DEEPEST:
        return indent(len(levels))
    above = "".join("│  " if more else "   " for more in levels[: -1 or None])
    if not levels:
        return ""
    last = ("│  ", "   ") if inside else ("├─ ", "└─ ")
    return above + (last[0] if levels[-1] else last[1])


def _coloured(row: Row, said: Cells, open_: list[bool]) -> Text:
    text = Text().append(f"{said.offset:>10} ", "dim")
    if row.line:
        text.append(f"{said.took:>9}", COLOURS.get(said.took, ""))
    else:
        text.append(f"{said.took:>9}", "bold yellow" if said.share >= _SLOW else "")
    text.append(f"  {_branches(open_)}", "dim")
    quiet = "dim" if row.line is None and row.node is None and not row.alike else ""
    text.append(said.says, "red" if said.failed else quiet)
    return text.append(f" {said.id}", "dim")
