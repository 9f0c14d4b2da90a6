"""Tokens: what a caller over HTTP shows, and what it may do with it.

A token is 256 random bits, shown once. The store keeps its SHA-256 alone: what is
random cannot be guessed, so a slow hash would protect nothing.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import psycopg

from godot_otel import store
from godot_otel.access import SCOPES
from godot_otel.errors import SettingError

PREFIX = "godot_"
COLUMNS = "name, hash, scopes, created_at, expires_at, revoked_at, last_used"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,79}")


@dataclass(frozen=True, slots=True)
class Token:
    """What the store knows of a token."""

    name: str
    hash: bytes
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used: Any
    """The day; None: never."""

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Token:
        """Make a token of a row of COLUMNS."""
        name, digest, scopes, *rest = row
        return cls(name, bytes(digest), frozenset(scopes), *rest)

    @property
    def state(self) -> str:
        """One word: live, expired or revoked."""
        if self.revoked_at:
            return "revoked"
        expired = self.expires_at is not None and self.expires_at <= datetime.now(UTC)
        return "expired" if expired else "live"


def digest(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def parse_scopes(text: str) -> frozenset[str]:
    """Read a comma-separated list of scopes.

    Raises:
        SettingError: there is none, or one that nobody knows.
    """
    named = [part.strip() for part in text.split(",") if part.strip()]
    for one in named:
        if one not in SCOPES:
            raise SettingError(
                f"--scope: {one!r} is none of {', '.join(SCOPES)}{_near(one, SCOPES)}"
            )
    if not named:
        raise SettingError(f"--scope: name at least one of {', '.join(SCOPES)}")
    return frozenset(named)


async def create(
    dsn: str, name: str, scopes: Iterable[str], *, days: int | None = None
) -> str:
    """Make a token and return it; nobody can read it again.

    Raises:
        SettingError: the name is none, or a token that was not revoked has it.
    """
    if not _NAME.fullmatch(name):
        raise SettingError(
            "--name: up to 80 letters, digits and . _ @ -, the first a letter or digit"
        )
    token = PREFIX + secrets.token_urlsafe(32)
    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    async with await store.connect(dsn) as connection:
        await store.check_schema(connection)
        try:
            await connection.execute(
                "INSERT INTO tokens (name, hash, scopes, expires_at)"
                " VALUES (%s, %s, %s, %s)",
                [name, digest(token), sorted(scopes), expires],
            )
        except psycopg.errors.UniqueViolation:
            raise SettingError(
                f"a token called {name} is there already: choose another name, or"
                f" `godot-otel token revoke {name}` first"
            ) from None
    return token


async def revoke(dsn: str, name: str) -> None:
    """End a token; servers stop taking it within 5 s.

    Raises:
        SettingError: there is none of that name, or it is revoked already.
    """
    async with await store.connect(dsn) as connection:
        await store.check_schema(connection)
        cursor = await connection.execute(
            "UPDATE tokens SET revoked_at = now() WHERE name = %s"
            " AND revoked_at IS NULL",
            [name],
        )
        if not cursor.rowcount:
            known = [one.name for one in await _all(connection) if not one.revoked_at]
            raise SettingError(f"no token is called {name}{_near(name, known)}")


async def listed(dsn: str) -> list[Token]:
    """Every token there ever was, the oldest first."""
    async with await store.connect(dsn) as connection:
        await store.check_schema(connection)
        return await _all(connection)


async def _all(connection: store.Connection) -> list[Token]:
    statement = " ".join(["SELECT", COLUMNS, "FROM tokens ORDER BY created_at, name"])
    cursor = await connection.execute(cast(Any, statement))
    return [Token.of(row) for row in await cursor.fetchall()]


def _near(name: str, names: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(names), 1)
    return f", did you mean {found[0]}?" if found else ""
