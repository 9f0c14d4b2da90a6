"""``godot-otel run``: an application with zero-code instrumentation.

Sets safe defaults in the environment, says in one line what will happen, and becomes
the application: its exit status and its signals are its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from godot_otel import instrumentors, settings
from godot_otel_exporter import service
from godot_otel_exporter.endpoint import resolve, without_password
from godot_otel_exporter.environment import (
    DEFAULTS,
    SAID_NO_QUEUE,
    SELECTION,
    SIGNALS,
    default,
)


def main(arguments: list[str]) -> int:
    """Run a command; does not return when the command was found.

    Raises:
        SettingError: a variable is malformed, or looks like a setting and is none.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    command = options.command[options.command[:1] == ["--"] :]
    if not command:
        parser.print_usage(sys.stderr)
        print("godot-otel run: which command?", file=sys.stderr)
        return 2
    if options.data_dir:
        os.environ["GODOT_DATA_DIR"] = str(
            Path(options.data_dir).expanduser().absolute()
        )
    settings.check()
    program = _find(command[0])
    if program is None:
        print(f"godot-otel run: {command[0]}: command not found", file=sys.stderr)
        return 127
    if options.service:
        os.environ[service.NAME] = options.service
    default({**SELECTION, **DEFAULTS})
    print(_line(command), file=sys.stderr, flush=True)
    os.environ["PYTHONPATH"] = _python_path(os.environ.get("PYTHONPATH", ""))
    try:
        os.execv(program, [program, *command[1:]])  # noqa: S606 # the user's command
    except OSError as error:
        print(f"godot-otel run: {program}: {error.strerror}", file=sys.stderr)
    return 126


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="godot-otel run",
        usage="godot-otel run [--service NAME] [--data-dir DIR] -- COMMAND ...",
        description="Run an application; its log records, each with its trace id, and"
        " its spans go to the queue. The application itself is not changed.",
    )
    parser.add_argument(
        "--service", metavar="NAME", help="default: the program's or module's name"
    )
    parser.add_argument(
        "--data-dir", metavar="DIR", help="whose stack to use; default: GODOT_DATA_DIR"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run")
    return parser


def _find(command: str) -> str | None:
    """Find a program as a shell would, in our own environment before any other.

    `.venv/bin/godot-otel run -- python app.py` means that environment's python.
    """
    own = str(Path(sys.executable).parent)
    return shutil.which(
        command, path=os.pathsep.join((own, os.environ.get("PATH", os.defpath)))
    )


def _python_path(current: str) -> str:
    """Put OpenTelemetry's ``sitecustomize`` first, as ``opentelemetry-instrument``.

    Its module is not imported for that: the application would start 60 ms later. The
    current directory is for programs that are no Python themselves, as Django's.
    """
    found = find_spec("opentelemetry.instrumentation.auto_instrumentation")
    assert found is not None
    assert found.submodule_search_locations is not None
    (folder,) = found.submodule_search_locations
    parts = current.split(os.pathsep) if current else []
    paths = [path for path in parts if path != folder]
    here = os.getcwd()
    return os.pathsep.join([folder, *([] if here in paths else [here]), *paths])


def _line(command: list[str]) -> str:
    active = sorted(instrumentors.active())
    missing = instrumentors.missing()
    parts = [
        f"service {service.named() or service.name_of(command)}",
        *_sent(),
        f"instrumented: {', '.join(active) or 'nothing'}",
        *(f"not instrumented: {module} ({pip})" for module, pip in missing),
    ]
    return f"godot-otel: {'; '.join(parts)}"


def _sent() -> list[str]:
    """Say what goes to which queue, or by which variable it does not."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ["log records and spans are NOT exported: OTEL_SDK_DISABLED"]
    sent: dict[str | None, list[str]] = {}
    said = []
    for variable, (signal, what) in SIGNALS.items():
        if "godot" in settings.words(os.environ[variable]):
            sent.setdefault(resolve(signal=signal), []).append(what)
        else:
            said.append(f"{what} are NOT sent to the queue: {variable}")
    if None in sent:
        os.environ[SAID_NO_QUEUE] = "1"
    return [*(_queue(url, " and ".join(what)) for url, what in sent.items()), *said]


def _queue(url: str | None, what: str) -> str:
    if url is None:
        return f"no queue for {what}: start one with `godot-otel up`"
    return f"queue {without_password(url)} for {what}"
