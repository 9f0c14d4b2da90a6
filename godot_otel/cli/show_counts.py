"""How counts look: bars and columns on a terminal, plain rows in a pipe."""

from __future__ import annotations

import click
from rich.text import Text

from godot_otel.cli.show import (
    COLOURS,
    grid,
    local,
    plain,
    say_zone,
    shortened,
    terminal,
)
from godot_otel.query import Pattern, Patterns, Stats, rfc3339

_BAR = 40  # columns
_TEMPLATE_MAX = 200


def patterns(found: Patterns) -> None:
    """Print one row for each pattern."""
    rows = [_pattern(one) for one in found.patterns]
    if terminal():
        titles = ["change", "level", "lines", "before", "last seen", "services"]
        grid([*titles, "trace", "line"], rows)
        say_zone([one.seen.last for one in found.patterns])
        return
    for row in rows:
        click.echo(" ".join(str(cell).strip() or "-" for cell in row))


def _pattern(one: Pattern) -> list[str | Text]:
    facts = one.as_json()
    level = facts["level"] or "-"
    seen = local(one.seen.last) if terminal() else facts["last_seen"]
    trace = one.example.trace_id if one.example else None
    return [
        one.change,
        Text(f"{level:<5}", COLOURS.get(level, "")),
        str(one.lines),
        str(facts["lines_before"]) if one.change or one.before else "",
        seen,
        shortened(",".join(sorted(one.services))),
        ((trace or "-")[:8] if terminal() else trace) or "-",
        plain(one.template)[:_TEMPLATE_MAX],
    ]


def histogram(counted: Stats) -> None:
    """Print one row for each bucket; on a terminal with a bar."""
    if counted.histogram is None:
        return
    buckets = counted.histogram.buckets
    most = max((sum(by.values()) for by in buckets.values()), default=0) or 1
    for start, by in buckets.items():
        lines = sum(by.values())
        if terminal():
            bar = "█" * round(lines * _BAR / most) or ("▏" if lines else "")
            said = "  ".join(f"{plain(name)} {n}" for name, n in by.items())
            click.echo(f"{local(start)[:16]}  {lines:>8}  {bar:<{_BAR}}  {said}")
        else:
            said = " ".join(f"{plain(name)}={n}" for name, n in by.items())
            click.echo(f"{rfc3339(start)} {lines} {said}".rstrip())
    if terminal():
        say_zone(list(buckets))


def operations(counted: Stats) -> None:
    """Print one row for each operation, those first that take, or fail, most."""
    rows: list[list[str | Text]] = []
    for one in counted.operations or ():
        facts = one.as_json()
        share = f"{facts['error_share']:.1%}" if one.errors else "-"
        rows.append([
            shortened(one.service), shortened(one.name), facts["kind"].lower(),
            str(one.count), Text(str(one.errors), "bold red" if one.errors else ""),
            share, f"{facts['p50_ms']} ms", f"{facts['p95_ms']} ms",
        ])  # fmt: skip # the columns
    titles = ["service", "operation", "kind", "spans", "errors", "failed"]
    grid([*titles, "p50", "p95"], rows)
    if counted.omitted:
        click.echo(f"{counted.omitted} more operations are not shown", err=True)


def fields(counted: Stats) -> None:
    """Print how often keys, with their top values, or the values of one, are in the
    newest lines."""
    if counted.fields is None:
        return
    seen = counted.fields
    titles = ["value", "lines"] if seen.key else ["attribute", "lines", "top values"]
    rows = [[shortened(name), str(lines)] for name, lines in seen.counts]
    for row, (name, _) in zip(rows, seen.counts, strict=True):
        if top := seen.top.get(name):
            row.append("  ".join(f"{shortened(value)} {n}" for value, n in top))
    grid(titles, rows)
    click.echo(f"of the newest {seen.sampled} lines; {seen.distinct} in all", err=True)
