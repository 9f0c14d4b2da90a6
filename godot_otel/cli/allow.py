"""The flags that let the MCP server do more than read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from godot_otel.access import CLEAR, CONTROL, WRITE

_T = TypeVar("_T", bound=Callable[..., Any])

_FLAGS = {
    "allow_write": (WRITE, "Let agents write log lines."),
    "allow_control": (CONTROL, "Let agents change the levels of running services."),
    "allow_clear": (CLEAR, "Let agents delete log lines."),
}


def flags(command: _T) -> _T:
    """Give a command the three flags; it gets them as keyword arguments."""
    for name, (_, sentence) in reversed(_FLAGS.items()):
        option = f"--{name.replace('_', '-')}"
        command = click.option(option, name, is_flag=True, help=sentence)(command)
    return command


def scopes(given: Mapping[str, bool]) -> list[str]:
    """The scopes of the flags that were given."""
    return [scope for name, (scope, _) in _FLAGS.items() if given[name]]


def arguments(given: Mapping[str, bool]) -> list[str]:
    """The flags that were given, for another command of ours."""
    return [f"--{name.replace('_', '-')}" for name in _FLAGS if given[name]]
