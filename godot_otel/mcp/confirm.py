"""Tokens that prove that the same was shown before it is done.

Not that a person agreed: that is the client's question, the scope's and the flag's.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from datetime import UTC, datetime

from godot_otel.errors import SettingError

LIFETIME = 300  # seconds


class ConfirmError(SettingError):
    """A confirm token is of other arguments, too old, or none."""


def token(key: bytes, before: datetime, *shown: str) -> str:
    """Make a token for *before*, the moment that relative times meant, and the rest.

    No two are the same, so that each can be used once.
    """
    expires, nonce = int(time.time()) + LIFETIME, secrets.token_hex(4)
    moment = f"{expires}.{int(before.timestamp())}.{nonce}"
    return f"{moment}.{_sign(key, moment, shown)}"


def before(key: bytes, token: str, *shown: str) -> datetime:
    """Return the moment of a token.

    Raises:
        ConfirmError: it is not one for this, or is over.
    """
    moment, _, signature = token.strip().rpartition(".")
    if not hmac.compare_digest(
        signature.encode("utf-8", "replace"), _sign(key, moment, shown).encode()
    ):
        raise ConfirmError(
            "confirm_token: not one that this server gave you for these arguments; call"
            " without it to see what would be deleted"
        )
    expires, seconds, _ = moment.split(".")
    if time.time() > int(expires):
        raise ConfirmError("confirm_token: it is over; call without it for another")
    return datetime.fromtimestamp(int(seconds), UTC)


def _sign(key: bytes, moment: str, shown: tuple[str, ...]) -> str:
    text = json.dumps([moment, *shown])
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32]
