"""The filters that every reading command takes alike, beside service and time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_T = TypeVar("_T", bound=Callable[..., Any])


def filters(function: _T) -> _T:
    """Add --logger, --environment, --version, --level, --search and --where."""
    for option in (
        click.option(
            "--where", multiple=True,
            help="key=value key!=value key~regex key>n key<n 'key exists'; body~regex"
            " for the line itself; up to 8 times.",
        ),
        click.option("--search", default="", help='Whole words; "in a row".'),
        click.option(
            "--level", default="", help="At least TRACE DEBUG INFO WARN ERROR FATAL."
        ),
        click.option("--version", default="", help="Of the service."),
        click.option("--environment", default=""),
        click.option("--logger", default="", help="Name of the logger; * as above."),
    ):  # fmt: skip # an option a line
        function = option(function)
    return function
