"""The store as its owner: where it is, and what a refusal means to a person."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from godot_otel import settings, store
from godot_otel.cli.serve import servers

_A = TypeVar("_A")


def owner_dsn(data_dir: Path | None) -> str:
    """Find the store as its owner reaches it; the queue need not be known.

    Raises:
        SettingError: it is in no setting, and no stack runs.
    """
    return str(settings.value("postgres_dsn") or servers(data_dir)["owner"])


def run(work: Coroutine[Any, Any, _A]) -> _A:
    """Run what a command does as the owner; the one place where it enters asyncio.

    Raises:
        SettingError: we are not the owner.
        GodotError: the store went away, or refused for another reason.
    """
    try:
        return asyncio.run(work)
    except psycopg.Error as error:
        raise store.refusal(error) from None
