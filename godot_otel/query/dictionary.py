"""What ids of the store's dictionaries stand for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from godot_otel import store
from godot_otel.query.reader import fetch

OTHER = "(other)"
"""The template of lines above the limit of new templates: their id is 0."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Who wrote a line."""

    version: str = ""
    attributes: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """What many lines have in common."""

    logger: str = ""
    text: str = OTHER
    known_since: datetime | None = None


async def resources(
    connection: store.Connection, ids: Collection[int]
) -> dict[int, Resource]:
    """Look resources up by their ids."""
    rows = await fetch(
        connection,
        "SELECT id, version, attributes FROM resources WHERE id = ANY(%s)",
        [list(ids)],
    )
    return {number: Resource(*rest) for number, *rest in rows}


async def templates(
    connection: store.Connection, ids: Collection[int]
) -> dict[int, Template]:
    """Look templates up by their ids."""
    rows = await fetch(
        connection,
        "SELECT id, logger, template, first_seen FROM templates"
        " WHERE id = ANY(%s) AND id <> 0",
        [list(ids)],
    )
    return {number: Template(*rest) for number, *rest in rows}
