"""Our distribution of OpenTelemetry: active when selected by name, else not there.

OpenTelemetry takes the first distro and configurator it finds, in an order that is
luck. Whoever has this wheel installed but selected nothing must get what they would get
without it, so ours then hand over to the next one.
"""

from __future__ import annotations

import gc
import logging
import os
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from opentelemetry.instrumentation.distro import (  # type: ignore[attr-defined] # untyped
    BaseDistro,
    DefaultDistro,
)
from opentelemetry.instrumentation.environment_variables import (
    OTEL_PYTHON_CONFIGURATOR,
    OTEL_PYTHON_DISTRO,
)
from opentelemetry.instrumentation.version import __version__ as instrumentation_version

from godot_otel import instrumentors
from godot_otel_exporter.diagnostics import report_once

NAME = "godot"
_LOADER = "opentelemetry.instrumentation.auto_instrumentation._load"


class GodotDistro(BaseDistro):  # type: ignore[misc] # untyped
    """Sets everything up when ``OTEL_PYTHON_DISTRO=godot``; else is the next distro."""

    def __new__(cls, *arguments: Any, **keywords: Any) -> Any:
        """Return the distro to use, which may be another one."""
        if os.environ.get(OTEL_PYTHON_DISTRO) == NAME:
            return super().__new__(cls, *arguments, **keywords)
        return _next_distro()

    def _configure(self, **keywords: Any) -> None:
        """Create the providers, unless another configurator was asked for by name.

        There is no configurator of ours to be found: OpenTelemetry would tell everybody
        who has another one that ours was not used.
        """
        if os.environ.setdefault(OTEL_PYTHON_CONFIGURATOR, NAME) != NAME:
            return
        from godot_otel_exporter.providers import set_up

        logging.getLogger(_LOADER).addFilter(_AboutUs())
        try:
            set_up(auto_instrumentation_version=instrumentation_version)
        except Exception as error:
            # OpenTelemetry prints it at length, and lets the application run without.
            report_once("set_up", "log records and spans are NOT exported: %s", error)
            raise

    def load_instrumentor(self, entry_point: EntryPoint, **keywords: Any) -> None:
        """Activate one instrumentor; logging's without its effects on the console."""
        if instrumentors.premature(entry_point.name):
            return
        super().load_instrumentor(entry_point, **keywords)
        from godot_otel_exporter.providers import after_instrumentor

        after_instrumentor(entry_point.name)
        # The application has not begun: what is there by now stays. Without this the
        # collector of garbage visits it again and again, for up to 0.1 s at a time.
        gc.freeze()


def _next_distro() -> BaseDistro:
    for entry_point in _others("opentelemetry_distro"):
        distro = entry_point.load()()
        if isinstance(distro, BaseDistro):
            return distro
    return DefaultDistro()


def _others(group: str) -> list[EntryPoint]:
    return [found for found in entry_points(group=group) if found.name != NAME]


class _AboutUs(logging.Filter):
    """Holds back the loader's warnings that one of two configurators was not used."""

    def filter(self, record: logging.LogRecord) -> bool:
        return NAME not in (record.args or ())
