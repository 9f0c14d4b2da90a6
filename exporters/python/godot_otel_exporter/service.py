"""What an application is called when nobody named it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath

_TAKES_VALUE = ("-W", "-X", "--check-hash-based-pycs")
NAME, ATTRIBUTES = "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"


def named() -> str | None:
    """Return the service's name from OpenTelemetry's variables, if it has one."""
    if name := os.environ.get(NAME, "").strip():
        return name
    for pair in os.environ.get(ATTRIBUTES, "").split(","):
        key, _, value = pair.partition("=")
        if key.strip() == "service.name" and value.strip():
            return value.strip()
    return None


def name_of(command: Sequence[str]) -> str:
    """Name a service by its command line: the program, script or module it runs."""
    program = PurePath(command[0]).name if command else ""
    if not program.lower().startswith(("python", "pypy")):
        return _stem(program)
    arguments = iter(command[1:])
    for argument in arguments:
        if argument == "-m":
            return next(arguments, program)
        if argument in _TAKES_VALUE:
            next(arguments, None)
        elif argument == "-c":
            break
        elif not argument.startswith("-"):
            return _stem(_main(PurePath(argument)))
    return program


def _main(script: PurePath) -> str:
    """A script's name; a package that is run by its path is its folder's."""
    return script.parent.name if script.name == "__main__.py" else script.name


def _stem(name: str) -> str:
    return PurePath(name).stem or "python"
