"""Fills the pages that say what something else says: code, and pages elsewhere.

A page names what it wants in a comment: `<!-- made: settings -->`, or
`<!-- file: exporters/README.md -->`.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from godot_otel import cli, sql
from godot_otel.cli.group import godot_otel as group
from godot_otel.settings import SETTINGS, Setting

CHECKOUT = Path(__file__).parents[1]
WIDTH = 88


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what a page's comments ask for in their place; MkDocs calls this."""
    made = re.sub(
        r"^<!-- made: (\w+) -->$", lambda m: MADE[m[1]](), markdown, flags=re.M
    )
    return re.sub(r"^<!-- file: (\S+) -->$", lambda m: _file(m[1]), made, flags=re.M)


def _file(name: str) -> str:
    """Return a page of the checkout; what it links to beside it is named instead."""
    text = (CHECKOUT / name).read_text("utf-8")
    folder = name.rpartition("/")[0]
    return re.sub(r"\[[^\]]*\]\(([\w./-]+)\)", rf"`{folder}/\1`", text)


def row(setting: Setting) -> str:
    """Return a setting's line in a table."""
    default = setting.default if setting.default not in (None, ()) else ""
    return f"| `{setting.env}` | {setting.type} | {default} | {setting.sentence} |"


def settings() -> str:
    """Return the table of all settings, those of servers and of applications apart."""
    head = "| variable | type | default | meaning |\n|---|---|---|---|\n"
    servers = [row(one) for one in SETTINGS if one.env.startswith("GODOT_")]
    applications = [row(one) for one in SETTINGS if not one.env.startswith("GODOT_")]
    return (
        f"## Servers and commands\n\n{head}" + "\n".join(servers) + "\n\n"
        f"## Applications\n\n{head}" + "\n".join(applications)
    )


def commands() -> str:
    """Return the help of each command, one section each."""
    return "\n\n".join(_application_commands()) + "\n\n" + "\n\n".join(_others())


def _application_commands() -> Iterator[str]:
    for name in cli.APPLICATION:
        yield _section(name, _printed(name))


def _others() -> Iterator[str]:
    context = click.Context(group, info_name="godot-otel", max_content_width=WIDTH)
    for name in cli.SERVER:
        command = group.get_command(context, name)
        assert command is not None, name
        yield _section(name, _help(command, context, name))
        if isinstance(command, click.Group):
            inner = click.Context(command, parent=context, info_name=name)
            for part, below in command.commands.items():
                yield _section(f"{name} {part}", _help(below, inner, part), level=3)


def _help(command: click.Command, parent: click.Context, name: str) -> str:
    context = click.Context(
        command, parent=parent, info_name=name, max_content_width=WIDTH,
        terminal_width=WIDTH,
    )  # fmt: skip # who, and how wide
    return command.get_help(context)


def _printed(name: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        cli.main([name, "--help"])
    return out.getvalue().strip()


def _section(name: str, text: str, level: int = 2) -> str:
    return f"{'#' * level} godot-otel {name}\n\n```text\n{text}\n```"


def migrations() -> str:
    """Return each migration with the comment that it begins with."""
    return "\n\n".join(
        f"## {one.name}\n\n{_comment(one.text)}" for one in sql.migrations()
    )


def _comment(text: str) -> str:
    lines = text.splitlines()
    top = next((n for n, line in enumerate(lines) if not line.startswith("--")), None)
    return "\n".join(line.removeprefix("--").strip() for line in lines[:top])


MADE: dict[str, Callable[[], str]] = {
    "settings": settings,
    "commands": commands,
    "migrations": migrations,
}
