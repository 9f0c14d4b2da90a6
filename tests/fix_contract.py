"""The cases that the exporters of every language pass."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "contract"
EMIT = HERE / "emit.js"


def cases(kind: str) -> list[dict[str, Any]]:
    """The cases of one folder, each with its file's name, sorted by it."""
    files = sorted((HERE / kind).glob("*.json"))
    return [json.loads(file.read_text("utf-8")) | {"name": file.stem} for file in files]


def expanded(value: Any) -> Any:
    """Give what JSON has no form for, or what would be long in it, its own form."""
    if isinstance(value, list):
        return [expanded(item) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$repeat": [text, times]}:
            return text * times
        case {"$list": [item, times]}:
            return [item] * times
        case {"$concat": parts}:
            return "".join(map(expanded, parts))
        case {"$bytes": text}:
            return base64.b64decode(text)
        case {"$nest": depth}:
            inner: Any = value.get("$end", "end")
            for _ in range(depth):
                inner = [inner]
            return inner
    return {name: expanded(item) for name, item in value.items()}
