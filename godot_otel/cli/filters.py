"""The options that reading commands take alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_T = TypeVar("_T", bound=Callable[..., Any])

_FILTERS = (
    click.option("--service", default="", help="Name; a trailing * is a prefix."),
    click.option("--logger", default="", help="Name of the logger; * as above."),
    click.option("--environment", default=""),
    click.option("--version", default="", help="Of the service."),
    click.option(
        "--level", default="", help="At least TRACE DEBUG INFO WARN ERROR FATAL."
    ),
    click.option("--search", default="", help='Whole words, all of them; "in a row".'),
    click.option(
        "--where", multiple=True,
        help="key=value key!=value key~regex key>n key<n 'key exists'; body~regex for"
        " the line itself; up to 8 times.",
    ),
)  # fmt: skip # an option a line
_WINDOW = (
    click.option(
        "--since", default="", help="-15m, -2h, -7d, or ISO 8601 with its zone."
    ),
    click.option("--until", default="", help="Like --since; default: now."),
)
_FORM = (
    click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
    click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        help="Read the stack of this data directory (GODOT_DATA_DIR).",
    ),
)
of_trace = click.option(
    "--trace-id", default="", help="32 hex digits or their first 8 or more."
)


def filters(function: _T) -> _T:
    """Add --service, --logger, --environment, --version, --level, --search, --where."""
    return _with(function, _FILTERS)


def window(function: _T) -> _T:
    """Add --since and --until."""
    return _with(function, _WINDOW)


def form(function: _T) -> _T:
    """Add --json and --data-dir."""
    return _with(function, _FORM)


def _with(function: _T, options: tuple[Callable[[_T], _T], ...]) -> _T:
    for option in reversed(options):
        function = option(function)
    return function
