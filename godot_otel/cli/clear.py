"""``godot-otel clear``: lines and spans that are deleted for good, counted before.

The result goes to stdout, what is said about it to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from godot_otel import clear as clearing
from godot_otel import store
from godot_otel.cli import owner
from godot_otel.cli.progress import Progress
from godot_otel.errors import GodotError, SettingError
from godot_otel.query.sanitize import line as plain

_A = TypeVar("_A")
_SHOWN = 20


@click.command()
@click.option(
    "--before", required=True, metavar="TIME",
    help="-7d, -12h, or ISO 8601 with its zone; whole minutes, at least an hour ago.",
)  # fmt: skip # an option's name and help
@click.option("--service", default="", help="Of this service; a trailing * is allowed.")
@click.option("--level", default="", help="Of exactly this level.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Use the stack of this data directory (GODOT_DATA_DIR).",
)
def clear(
    before: str, service: str, level: str, yes: bool, as_json: bool,
    data_dir: Path | None,
) -> None:  # fmt: skip # six options
    """Delete lines and spans for ever, and count them out of statistics and traces.

    Shows what would go and asks first. Needs the store's owner (GODOT_POSTGRES_DSN).
    """
    choice = clearing.choose(before, service, level)
    counts = _owner(data_dir, lambda connection: clearing.count(connection, choice))
    done = clearing.Counts()
    if not counts:
        _say(f"no line is older than {choice.as_json()['before']}, or none like that")
    else:
        _show(counts, choice)
        if not yes:
            _ask(counts)
        done = _delete(data_dir, choice, counts.lines)
    if as_json:
        facts = {"deleted": done.lines, "spans": done.spans, "levels": done.levels}
        print(json.dumps({**choice.as_json(), **facts, "services": done.components}))
    elif counts:
        print(f"deleted {_counted(done)}")


def _delete(
    data_dir: Path | None, choice: clearing.Choice, lines: int
) -> clearing.Counts:
    async def delete(connection: store.Connection) -> clearing.Counts:
        with Progress() as progress:
            cleared = await clearing.clear(
                connection, choice, caller="cli",
                progress=lambda gone: progress.show(f"deleted {gone:,} of {lines:,}"),
            )  # fmt: skip # what, whose, how
        return cleared.counts

    return _owner(data_dir, delete)


def _owner(
    data_dir: Path | None, ask: Callable[[store.Connection], Awaitable[_A]]
) -> _A:
    async def run() -> _A:
        async with await store.connect(owner.owner_dsn(data_dir)) as connection:
            await store.check_schema(connection)
            return await ask(connection)

    return owner.run(run())


def _show(counts: clearing.Counts, choice: clearing.Choice) -> None:
    ranked = sorted(
        counts.components.items(), key=lambda one: (-sum(one[1].values()), one[0])
    )
    for name, levels in ranked[:_SHOWN]:
        _say(f"{plain(name)}: {_levels(levels)}")
    if len(ranked) > _SHOWN:
        _say(f"and {len(ranked) - _SHOWN} services more")
    by_level = f": {_levels(counts.levels)}" if counts.lines else ""
    _say(f"{_counted(counts)} before {choice.as_json()['before']}{by_level}")


def _levels(levels: dict[str, int]) -> str:
    return ", ".join(f"{lines:,} {name}" for name, lines in levels.items())


def _counted(counts: clearing.Counts) -> str:
    said = [_number(counts.lines, "line")] if counts.lines or not counts.spans else []
    if counts.spans:
        said.append(_number(counts.spans, "span"))
    return " and ".join(said)


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _ask(counts: clearing.Counts) -> None:
    if not sys.stdin.isatty():
        raise SettingError(f"that is {_counted(counts)}. To delete it, add --yes.")
    print("Delete that for ever? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise GodotError("nothing was deleted")


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
