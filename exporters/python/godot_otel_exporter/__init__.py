"""From a log call or an ended span to the queue, inside the user's process.

``tap`` takes every record of the ``logging`` module, ``capture`` keeps what matters of
it, ``processor`` holds it in ``memory``, as ``span_processor`` holds spans; a thread of
each redacts and encodes (``encode``), and the one of ``link`` hands the batches to the
queue, or to the ``spool`` while it is away (``sender``). Next station:
``godot_otel.queue``. ``distro`` and ``providers`` set OpenTelemetry up so that records
and spans get here at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from godot_otel_exporter.exporter import GodotLogRecordExporter
    from godot_otel_exporter.lifecycle import force_flush
    from godot_otel_exporter.providers import configure
    from godot_otel_exporter.span_exporter import GodotSpanExporter

__all__ = ["GodotLogRecordExporter", "GodotSpanExporter", "configure", "force_flush"]

_HOMES = {
    "GodotLogRecordExporter": "godot_otel_exporter.exporter",
    "GodotSpanExporter": "godot_otel_exporter.span_exporter",
    "configure": "godot_otel_exporter.providers",
    "force_flush": "godot_otel_exporter.lifecycle",
}


def __getattr__(name: str) -> object:
    # Everything loads on first use: whoever only has the wheel installed, or names a
    # submodule, must not wait for the import of redis.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
