"""The audit: a row for whoever wrote, changed a level or deleted, and for who may not.

Rows are only added. The reader's role can read them, the writer's can add some.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import psycopg
from psycopg.types.json import Jsonb

from godot_otel import settings, sql, store
from godot_otel.errors import GodotError
from godot_otel.redact import REDACTED, Redactor

log = logging.getLogger(__name__)

_TIMEOUT = 2.0  # seconds; nobody's call waits longer for a store that is away
_MAX_TEXT = 200  # characters of one value
_MAX_VALUES = 20

Outcome = Literal["begun", "done", "failed", "refused"]


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that was done, or was not."""

    caller: str
    action: str
    outcome: Outcome
    arguments: Mapping[str, Any]
    detail: Mapping[str, Any] = field(default_factory=dict)


async def enter(connection: store.Connection, deed: Deed) -> None:
    """Add a row; it is there once this returns, unless in a transaction of yours."""
    redactor = Redactor(settings.value("redact_keys"))
    values = [
        shown(deed.caller, redactor),
        shown(deed.action, redactor),
        deed.outcome,
        Jsonb(shown(deed.arguments, redactor)),
        Jsonb(shown(deed.detail, redactor)) if deed.detail else None,
    ]
    await connection.execute(cast(Any, sql.query("audit")), values)


async def note(dsn: str | None, deed: Deed) -> bool:
    """Add a row over a connection of its own; say whether it is there.

    A store that is away or refuses costs the row and no more: that is logged.
    """
    try:
        async with asyncio.timeout(_TIMEOUT):
            if dsn is None:
                raise GodotError("no store is known")
            async with await store.connect(dsn) as connection:
                await enter(connection, deed)
        return True
    except (GodotError, psycopg.Error, OSError, TimeoutError) as error:
        log.warning(
            "not in the audit: %s by %s: %s", deed.action, deed.caller,
            getattr(error, "sqlstate", None) or type(error).__name__,
            extra={"action": "audit_failed"},
        )  # fmt: skip # one sentence
        return False


def shown(value: Any, redactor: Redactor) -> Any:
    """Make JSON of *value* that Postgres takes: short, and without secrets."""
    if isinstance(value, str):
        data = value[: _MAX_TEXT * 20].replace("\0", "").encode("utf-8", "replace")
        text = redactor.text(data.decode())
        return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."
    if isinstance(value, Mapping):
        return {
            shown(str(name), redactor): (
                REDACTED if redactor.is_secret(str(name)) else shown(one, redactor)
            )
            for name, one in list(value.items())[:_MAX_VALUES]
        }
    if isinstance(value, list | tuple):
        return f"{len(value)} items"
    if isinstance(value, bool | int | None):
        return value if abs(value or 0) < 2**63 else "a large number"
    return shown(str(value), redactor)
