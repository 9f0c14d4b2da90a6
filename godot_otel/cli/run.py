"""``godot-otel run``: an application with zero-code instrumentation.

Sets safe defaults in the environment, says in one line what will happen, and becomes
the application: its exit status and its signals are its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoints, entry_points
from importlib.util import find_spec
from pathlib import Path

from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts

from godot_otel import settings
from godot_otel_exporter import service
from godot_otel_exporter.endpoint import resolve, without_password
from godot_otel_exporter.environment import DEFAULTS, SAID_NO_QUEUE, SELECTION

# importable module -> (the instrumentor it wants, the extra that brings it)
_WANTS = {
    "flask": ("flask", "flask"),
    "fastapi": ("fastapi", "fastapi"),
    "django": ("django", "django"),
    "celery": ("celery", "celery"),
    "aiohttp": ("aiohttp-server", "aiohttp"),
    "requests": ("requests", "flask"),
    "httpx": ("httpx", "fastapi"),
}


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
    for name, default in {**SELECTION, **DEFAULTS}.items():
        os.environ.setdefault(name, default)
    print(_line(command), file=sys.stderr, flush=True)
    os.environ["PYTHONPATH"] = _python_path(os.environ.get("PYTHONPATH", ""))
    try:
        os.execv(program, [program, *command[1:]])  # noqa: S606 # the user's command
    except OSError as error:
        print(f"godot-otel run: {program}: {error.strerror}", file=sys.stderr)
    return 126


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="godot-otel run",
        usage="godot-otel run [--service NAME] [--data-dir DIR] -- COMMAND ...",
        description="Run an application; its log records go to the queue, each with its"
        " trace id. The application itself is not changed.",
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
    url = resolve()
    if url is None:
        os.environ[SAID_NO_QUEUE] = "1"
        queue = "no queue: start one with `godot-otel up`"
    else:
        queue = f"queue {without_password(url)}"
    instrumentors = entry_points(group="opentelemetry_instrumentor")
    active = sorted(_instrumented(instrumentors))
    parts = [
        f"service {service.named() or service.name_of(command)}",
        _off() or queue,
        f"instrumented: {', '.join(active) or 'nothing'}",
        *_missing({found.name for found in instrumentors}),
    ]
    return f"godot-otel: {'; '.join(parts)}"


def _off() -> str:
    """Name the variable by which no log record will be exported, if there is one."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "log records are NOT exported: OTEL_SDK_DISABLED"
    exporters = os.environ["OTEL_LOGS_EXPORTER"].split(",")
    if "godot" not in (name.strip() for name in exporters):
        return "log records are NOT sent to the queue: OTEL_LOGS_EXPORTER"
    return ""


def _instrumented(instrumentors: EntryPoints) -> Iterator[str]:
    disabled = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "")
    excluded = {name.strip() for name in disabled.split(",")}
    if "*" in excluded:
        return
    for found in instrumentors:
        if found.name in excluded or found.dist is None:
            continue
        if get_dist_dependency_conflicts(found.dist) is None:
            yield found.name


def _missing(installed: set[str]) -> Iterator[str]:
    """Name what could be instrumented and is not, with the line that would."""
    for module, (instrumentor, extra) in _WANTS.items():
        if instrumentor not in installed and find_spec(module) is not None:
            yield f"not instrumented: {module} (pip install 'godot-otel[{extra}]')"
