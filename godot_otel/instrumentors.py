"""Which instrumentors act on an application here, and which are missing.

Imported by ``godot-otel run`` before the application starts: it must stay cheap.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec

from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts

SETTINGS_MODULE = "DJANGO_SETTINGS_MODULE"
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


def premature(name: str) -> bool:
    """Say whether the instrumentor *name* would act before its framework is set up.

    Django's would put defaults in the place of settings that are not named yet, or not
    to be found yet; the site's own, named later by `manage.py`, would count no more.
    """
    if name != "django":
        return False
    settings = getattr(sys.modules.get("django.conf"), "settings", None)
    if settings is not None and settings.configured:
        return False
    module = os.environ.get(SETTINGS_MODULE, "")
    try:
        return not module or find_spec(module) is None
    except Exception:  # of what is around it; Django's own complaint is better
        return True


def active() -> Iterator[str]:
    """Name those that find what they instrument."""
    excluded = disabled()
    if "*" in excluded:
        return
    for found in entry_points(group=_GROUP):
        if found.name in excluded or found.dist is None:
            continue
        if found.name == "django" and not os.environ.get(SETTINGS_MODULE):
            continue
        if get_dist_dependency_conflicts(found.dist) is None:
            yield found.name


def missing() -> Iterator[tuple[str, str]]:
    """Name what could be instrumented and is not, with what would."""
    installed = {found.name for found in entry_points(group=_GROUP)}
    wanted = "django" in installed - disabled() and find_spec("django") is not None
    if wanted and not os.environ.get(SETTINGS_MODULE):
        yield "django", f"set {SETTINGS_MODULE}, as in mysite.settings"
    for module, (instrumentor, extra) in _WANTS.items():
        if instrumentor not in installed and find_spec(module) is not None:
            yield module, f"pip install 'godot-otel[{extra}]'"
