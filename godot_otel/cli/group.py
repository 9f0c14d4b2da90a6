"""The click commands as one group; a command's module loads only when it is used."""

from __future__ import annotations

import importlib
import sys

import click

from godot_otel import __version__, settings
from godot_otel.cli import APPLICATION, SERVER


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*APPLICATION, *SERVER]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in APPLICATION:  # parsed in cli.main; here for --help alone
            return click.Command(cmd_name, help=APPLICATION[cmd_name][1])
        if cmd_name not in SERVER:
            return None
        module, _ = SERVER[cmd_name]
        command = getattr(importlib.import_module(module), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, what) for name, (_, what) in (APPLICATION | SERVER).items()]
            )


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="godot-otel")
def godot_otel() -> None:
    """Standard logging with OpenTelemetry trace ids, kept in PostgreSQL."""
    settings.check()


def main(arguments: list[str]) -> int:
    """Run one click command; return its exit status."""
    try:
        result = godot_otel.main(
            arguments, prog_name="godot-otel", standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except click.exceptions.Exit as error:
        return error.exit_code
    except BrokenPipeError:  # piped into head
        sys.stderr.close()
        return 0
    return result if isinstance(result, int) else 0
