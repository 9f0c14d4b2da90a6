"""From a log call to the queue, inside the user's process.

OpenTelemetry hands over finished log records; ``exporter`` redacts and encodes them as
OTLP (``redact``, ``encode``) and hands them to the queue (``sender``, ``endpoint``).
Next station: ``godot_otel.queue``. ``distro`` and ``providers`` set OpenTelemetry up so
that records get here at all, ``tap`` takes them from the ``logging`` module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from godot_otel_exporter.exporter import GodotLogRecordExporter
    from godot_otel_exporter.providers import configure

__all__ = ["GodotLogRecordExporter", "configure"]

_HOMES = {
    "GodotLogRecordExporter": "godot_otel_exporter.exporter",
    "configure": "godot_otel_exporter.providers",
}


def __getattr__(name: str) -> object:
    # Everything loads on first use: whoever only has the wheel installed, or names a
    # submodule, must not wait for the import of redis.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
