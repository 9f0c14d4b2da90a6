"""``up``, ``down`` and ``status``: everything on this machine."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.status import Status

from godot_otel import settings
from godot_otel.cli import allow
from godot_otel.stack import background, summary, waiting
from godot_otel.stack import down as ending
from godot_otel.stack import status as standing
from godot_otel.stack.directory import DataDirectory
from godot_otel.stack.stack import MCP_PORT, OTLP_PORT, REDIS_PORT, Choices
from godot_otel.stack.up import up as run

_PORT = click.IntRange(0, 65535)
_data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help=settings.BY_NAME["data_dir"].sentence + " [GODOT_DATA_DIR]",
)


def _directory(data_dir: Path | None) -> DataDirectory:
    return DataDirectory((data_dir or settings.data_dir()).expanduser())


class Progress:
    """Shows what the stack does: a spinner on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, soft_wrap=True)
        self._status: Status | None = None

    def working(self, what: str) -> None:
        """Say what is being done and may take a while."""
        if not self._console.is_terminal:
            self.line(what + ("..." if what != "Stopped" else ""))
        elif self._status is None:
            self._status = self._console.status(what)
            self._status.start()
        else:
            self._status.update(what)

    def works(self, title: str, where: str) -> None:
        """Say that a part works."""
        self.line(f"{title:<12} {where}")

    def trouble(self, sentence: str) -> None:
        """Say what went wrong."""
        self.line(f"! {sentence}")

    def summary(self, directory: DataDirectory, facts: dict[str, Any]) -> None:
        """Print the addresses and the lines to paste."""
        self.still()
        for text in summary.lines(directory.path, facts):
            self.line(text)

    def still(self) -> None:
        """Take the spinner away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def line(self, text: str) -> None:
        """Print one line; a reader that went away must not end the stack."""
        if self._console.is_terminal:
            self._console.print(text)
            return
        try:
            print(text, flush=True)
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 # until the end


@click.command()
@_data_dir
@click.option("-d", "detach", is_flag=True, help="Run it in the background.")
@click.option(
    "--mcp-port",
    type=_PORT,
    help=f"Port of the MCP server; default: the last one, at first {MCP_PORT}; 0: any.",
)
@click.option(
    "--redis-port",
    type=_PORT,
    help=f"Port of the queue; default: the last one, at first {REDIS_PORT}; 0: any.",
)
@click.option(
    "--otlp-port",
    type=_PORT,
    help=f"Port of OTLP/HTTP; default: the last one, at first {OTLP_PORT}; 0: any.",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True,
    help="How many collectors.",
)  # fmt: skip # an option's name and type share a line
@allow.flags
def up(
    data_dir: Path | None,
    detach: bool,
    mcp_port: int | None,
    redis_port: int | None,
    otlp_port: int | None,
    workers: int,
    **allowed: bool,
) -> int:
    """Start everything on this machine; Ctrl-C ends it and loses nothing."""
    directory = _directory(data_dir)
    if detach:
        ports = {
            "--mcp-port": mcp_port,
            "--redis-port": redis_port,
            "--otlp-port": otlp_port,
        }
        arguments = ["--workers", str(workers), *allow.arguments(allowed)]
        for flag, port in ports.items():
            arguments += [flag, str(port)] if port is not None else []
        return background.up(directory, arguments, sys.stdout)
    progress = Progress()
    try:
        run(
            directory,
            Choices(
                redis_port,
                mcp_port,
                otlp_port,
                workers,
                allow=tuple(allow.arguments(allowed)),
            ),
            progress,
            summary=lambda facts: progress.summary(directory, facts),
        )
    finally:
        progress.still()
    return 0


@click.command()
@_data_dir
@click.option("--wipe", is_flag=True, help="Then delete its data.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
def down(data_dir: Path | None, wipe: bool, yes: bool) -> int:
    """Stop it from another terminal; also what a killed `up` left behind."""
    directory = _directory(data_dir)
    if wipe:
        directory.check_ours()
        if sys.stdin.isatty() and not yes:
            click.confirm(
                f"Delete all data in {directory.path}{_never_sent(directory)}?",
                abort=True,
            )
    ran = ending.down(directory)
    print("Stopped." if ran else f"Nothing runs in {directory.path}.")
    if wipe:
        lost = _never_sent(directory)
        ending.wipe(directory)
        print(f"Deleted the data in {directory.path}{lost}.")
    return 0


def _never_sent(directory: DataDirectory) -> str:
    if records := waiting.records(directory.spool):
        return f", with {waiting.counted(records)} in its spool that were never sent"
    return ""


@click.command()
@_data_dir
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(data_dir: Path | None, as_json: bool) -> int:
    """Say what runs and how full the queue is; status 1 when nothing runs."""
    facts = standing.status(_directory(data_dir))
    if as_json:
        print(json.dumps(facts))
    else:
        _print_status(facts)
    return 0 if facts["state"] in ("running", "starting") else 1


_STATES = {
    "running": "Runs",
    "starting": "Is starting or stopping",
    "killed": "`up` was killed and left parts behind; end them with `down` or `up`",
    "stopped": "Nothing runs",
}


def _print_status(facts: dict[str, Any]) -> None:
    print(f"{_STATES[facts['state']]}: {facts['data_dir']}")
    addresses = {"redis": "redis_url", "postgres": "postgres_dsn", "mcp": "mcp_url"}
    for name in ("redis", "postgres", "collector", "mcp"):
        pids = ", ".join(str(pid) for pid in facts["pids"].get(name, []))
        address = facts.get(addresses.get(name, ""), "")
        if pids or address:
            print(f"  {name:<10} {address}  {f'pid {pids}' if pids else 'external'}")
    if facts.get("otlp_url"):  # its process is the last of the collector's
        print(f"  {'otlp':<10} {facts['otlp_url']}")
    if facts["state"] == "running":
        print(f"  {'queue':<10} {_queue_text(facts['queue'])}")


def _queue_text(depth: dict[str, Any] | None) -> str:
    if depth is None:
        return "does not answer"
    return (
        f"{depth['records']} records in {depth['batches']} batches wait,"
        f" {depth['bytes'] / settings.MIB:.1f} of"
        f" {depth['max_bytes'] / settings.MIB:.0f} MiB,"
        f" the oldest for {depth['oldest_age_seconds']:.1f} s"
    )
