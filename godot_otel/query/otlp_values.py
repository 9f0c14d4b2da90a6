"""JSON of the store as AnyValues of OTLP's JSON.

The collector stores AnyValues as JSON (``godot_otel_collector.values``); this turns
them back.
"""

from __future__ import annotations

import math
from typing import Any


def pairs(members: dict[str, Any]) -> list[dict[str, Any]]:
    """Turn an object into KeyValues."""
    return [
        {"key": key.removeprefix("$"), "value": any_value(value)}
        for key, value in members.items()
    ]


def any_value(value: Any) -> dict[str, Any]:
    """Turn JSON of the store into an AnyValue of OTLP's JSON."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    if isinstance(value, dict):
        return _object(value)
    return {}


def _object(value: dict[str, Any]) -> dict[str, Any]:
    if list(value) == ["$bytes"]:
        return {"bytesValue": value["$bytes"]}
    if list(value) == ["$double"]:
        return {"doubleValue": _double(float(value["$double"]))}
    return {"kvlistValue": {"values": pairs(value)}}


def _double(number: float) -> float | str:
    """JSON has no such numbers; OTLP's writes protobuf's names."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number
