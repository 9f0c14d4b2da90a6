"""``godot-otel doctor``: checks everything on this machine and says what to do."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from godot_otel.doctor import (
    application,
    queue_server,
    spool_folder,
    stack_ports,
    variables,
)
from godot_otel.doctor.check import Check, ok

_COLOURS = {"ok": 32, "warning": 33, "problem": 31}


def main(arguments: list[str]) -> int:
    """Check; return 0, 1 with problems, or 2 when a setting is one of them."""
    options = _parser().parse_args(arguments)
    if options.data_dir:
        os.environ["GODOT_DATA_DIR"] = str(
            Path(options.data_dir).expanduser().absolute()
        )
    status = 0
    try:
        for check in _checks():
            print(_line(check, as_json=options.json), flush=True)
            if check.level == "problem":
                status = 2 if check.about == variables.ABOUT else status or 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # piped into head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="godot-otel doctor",
        description="Check settings, the queue, the spool, what an application would"
        " do, the store and a running stack. A line a finding: ok, warning or problem,"
        " and after the arrow what to do. Nothing is changed.",
        epilog="Exit status: 0 all is well, warnings included; 1 there are problems; 2"
        " a setting is one of them.",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--data-dir", metavar="DIR", help="whose stack to use; default: GODOT_DATA_DIR"
    )
    return parser


def _checks() -> Iterator[Check]:
    yield from variables.checks()  # first: takes away what the others cannot read
    yield from queue_server.checks()
    yield from spool_folder.checks()
    yield from application.checks()
    try:
        from godot_otel.doctor import store_server
    except ImportError as error:
        yield ok(
            "store", f"not checked: {error.name} is not installed, as on a machine of"
            " applications alone (pip install 'godot-otel[server]')",
        )  # fmt: skip # one sentence
    else:
        yield from store_server.checks()
    yield from stack_ports.checks()


def _line(check: Check, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(asdict(check))
    level = f"{check.level:<7}"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        level = f"\x1b[{_COLOURS[check.level]}m{level}\x1b[0m"
    return f"{level}  {check.about:<11}  {check.what}" + (
        f"  -> {check.do}" if check.do else ""
    )
