"""Settings inside somebody's application, and where they say the queue is.

A malformed variable must not stop an application: it is said once, and the default
holds. A malformed argument is raised: the programmer is there to read it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from godot_otel import settings, state
from godot_otel.errors import SettingError
from godot_otel_exporter.diagnostics import report_once

_SOURCES = ("endpoint", "redis_url")


def setting(name: str) -> Any:
    """Read one setting; a malformed one is reported, and its default returned."""
    try:
        return settings.value(name)
    except SettingError as error:
        report_once(str(error), "%s; its default is used", error)
        return settings.BY_NAME[name].default


def signal_setting(signal: str, name: str) -> Any:
    """Read the setting for one signal alone, else the one for every signal."""
    own = setting(f"{signal}_{name}")
    return setting(name) if own is None else own


def default_spool_dir() -> Path:
    """Return where batches wait when no argument says; a folder that may not exist."""
    try:
        directory = setting("data_dir") or settings.default_data_dir()
    except RuntimeError:  # no home directory
        directory = Path(tempfile.gettempdir()) / f"godot-otel-{os.getuid()}"
    return Path(setting("spool_dir") or directory / "spool")


def report_unknown() -> None:
    """Name each variable that looks like a setting and is none, once a process."""
    for sentence in settings.unknown():
        report_once(sentence, "%s", sentence)


def resolve(argument: str | None = None, signal: str | None = "logs") -> str | None:
    """Return the queue's URL, or None: then nothing may be contacted.

    The order: *argument*, the variables, the running stack of the data directory. There
    is no fallback to a default port: what listens there is somebody's own Redis.
    """
    if argument:
        return argument
    found = find(signal)
    return found[0] if found else None


def find(signal: str | None = "logs") -> tuple[str, str] | None:
    """Return the queue's URL and what names it: a variable, or a file.

    The variable of one *signal* comes before those for all.
    """
    for name in (f"{signal}_endpoint", *_SOURCES) if signal else _SOURCES:
        if url := setting(name):
            return str(url), settings.BY_NAME[name].env
    return _of_stack()


def _of_stack() -> tuple[str, str] | None:
    try:
        directory = setting("data_dir") or settings.default_data_dir()
        found = state.read(directory)
    except RuntimeError:
        return None  # no home directory to look in
    url = (found or {}).get("redis_url")
    if isinstance(url, str) and url:
        return url, str(directory / state.FILE)
    return None


def without_password(url: str) -> str:
    """Return *url* in a form that may be printed."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
