"""What the environment of an application says to our part of it."""

from __future__ import annotations

import os
from collections.abc import Mapping

SELECTION = {"OTEL_PYTHON_DISTRO": "godot", "OTEL_PYTHON_CONFIGURATOR": "godot"}

DEFAULTS = {
    "OTEL_LOGS_EXPORTER": "godot",
    "OTEL_TRACES_EXPORTER": "godot",
    # Unset, it would mean OTLP, and without that exporter everything is switched off.
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_PROPAGATORS": "tracecontext,baggage",
    "OTEL_BLRP_SCHEDULE_DELAY": "200",
}

SIGNALS = {
    "OTEL_LOGS_EXPORTER": ("logs", "log records"),
    "OTEL_TRACES_EXPORTER": ("traces", "spans"),
}
"""The variable that says where a signal goes; the signal, and what people call it."""


def default(values: Mapping[str, str]) -> None:
    """Set the variables that are unset or empty, which is the same to OpenTelemetry."""
    for name, value in values.items():
        os.environ[name] = os.environ.get(name) or value


SAID_NO_QUEUE = "_GODOT_OTEL_SAID_NO_QUEUE"
"""Set by ``godot-otel run`` after it has told the user that there is no queue."""
