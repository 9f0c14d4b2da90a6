"""What an application started from here would do with OpenTelemetry as it is set up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import entry_points

from godot_otel import instrumentors
from godot_otel.doctor.check import Check, ok, problem, warning
from godot_otel_exporter.environment import SIGNALS

ABOUT = "application"
_NAMES = {
    "OTEL_LOGS_EXPORTER": "opentelemetry_logs_exporter",
    "OTEL_TRACES_EXPORTER": "opentelemetry_traces_exporter",
    "OTEL_METRICS_EXPORTER": "opentelemetry_metrics_exporter",
    "OTEL_PROPAGATORS": "opentelemetry_propagator",
}


def checks() -> Iterator[Check]:
    """Check what would be exported, by which distribution, and what is instrumented."""
    yield from _switches()
    yield from _names()
    yield from _distro()
    yield from _protocol()
    active = sorted(instrumentors.active())
    yield ok(ABOUT, f"instrumented: {', '.join(active) or 'nothing'}")
    for module, pip in instrumentors.missing():
        yield warning(ABOUT, f"{module} is installed and not instrumented", pip)


def _switches() -> Iterator[Check]:
    if _set("OTEL_SDK_DISABLED").lower() == "true":
        yield problem(
            ABOUT,
            "OTEL_SDK_DISABLED=true: nothing is exported, no line has a trace id",
            "unset OTEL_SDK_DISABLED",
        )
    for name in ("*", "logging"):
        if name in instrumentors.disabled():
            yield problem(
                ABOUT,
                f"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS has {name}: no log record is"
                " taken from `logging`",
                f"take {name} out of OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
            )


def _names() -> Iterator[Check]:
    """Check what is named and not installed: OpenTelemetry then sets up nothing."""
    for variable, group in _NAMES.items():
        installed = {found.name for found in entry_points(group=group)}
        named = [name.strip() for name in _set(variable).split(",") if name.strip()]
        for name in named:
            if name == "none" or name in installed:
                continue
            if name == "otlp" and any(one.startswith("otlp") for one in installed):
                continue
            yield problem(
                ABOUT,
                f"{variable} names {name}, which is not installed: OpenTelemetry would"
                " switch everything off",
                f"install it, or take it out of {variable}",
            )
        if variable in SIGNALS and named and "godot" not in named:
            yield warning(
                ABOUT,
                f"{variable}={','.join(named)}: {SIGNALS[variable][1]} do not go to the"
                " queue",
                f"add godot to {variable}, or unset it",
            )
        elif variable in SIGNALS:
            yield ok(
                ABOUT, f"`godot-otel run` sends {SIGNALS[variable][1]} to the queue"
            )


def _distro() -> Iterator[Check]:
    others = sorted(
        {found.name for found in entry_points(group="opentelemetry_distro")}
        - {"godot", "distro"}
    )
    named = _set("OTEL_PYTHON_DISTRO")
    if named not in ("", "godot"):
        yield warning(
            ABOUT,
            f"OTEL_PYTHON_DISTRO={named}: `godot-otel run` would use that distribution",
            "set OTEL_PYTHON_DISTRO=godot, or unset it",
        )
    elif others and not named:
        yield warning(
            ABOUT,
            f"another distribution of OpenTelemetry is installed ({', '.join(others)});"
            " `opentelemetry-instrument` takes that one",
            "start with `godot-otel run`, or set OTEL_PYTHON_DISTRO=godot and"
            " OTEL_PYTHON_CONFIGURATOR=godot",
        )
    else:
        yield ok(ABOUT, "`godot-otel run` selects our distribution")


def _protocol() -> Iterator[Check]:
    for signal in ("", "LOGS_", "TRACES_"):
        endpoint = f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT"
        protocol = f"OTEL_EXPORTER_OTLP_{signal}PROTOCOL"
        speaks = _set(protocol) or _set("OTEL_EXPORTER_OTLP_PROTOCOL")
        if ":4318" in _set(endpoint) and speaks == "grpc":
            yield problem(
                ABOUT,
                f"{endpoint} is a port of OTLP over HTTP, and {protocol} says grpc",
                f"set {protocol}=http/protobuf",
            )


def _set(variable: str) -> str:
    return os.environ.get(variable, "").strip()
