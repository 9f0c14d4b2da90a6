"""Which instrumentors act on an application here, and which are missing.

Imported by ``godot-otel run`` before the application starts: it must stay cheap.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec

from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts

_GROUP = "opentelemetry_instrumentor"

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


def disabled() -> set[str]:
    """Name those that the environment switches off; ``*`` stands for all."""
    names = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
    return {name.strip() for name in names}


def active() -> Iterator[str]:
    """Name those that find what they instrument."""
    excluded = disabled()
    if "*" in excluded:
        return
    for found in entry_points(group=_GROUP):
        if found.name in excluded or found.dist is None:
            continue
        if get_dist_dependency_conflicts(found.dist) is None:
            yield found.name


def missing() -> Iterator[tuple[str, str]]:
    """Name what could be instrumented and is not, with the line that would."""
    installed = {found.name for found in entry_points(group=_GROUP)}
    for module, (instrumentor, extra) in _WANTS.items():
        if instrumentor not in installed and find_spec(module) is not None:
            yield module, f"pip install 'godot-otel[{extra}]'"
