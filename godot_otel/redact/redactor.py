"""Decides what is a secret, and replaces it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from godot_otel.redact.bare import (
    replace_credentials,
    replace_private_keys,
    replace_tokens,
    replace_url_passwords,
)
from godot_otel.redact.named import replace_named, replace_pairs

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
_CACHED_TEXT_MAX = 64
_SETTLED_MAX = 4096


class Redactor:
    """Decides what is a secret: a value by its name, a part of a text by its looks.

    A name is one when its last words are one of the keys: ``db_password``,
    ``X-Api-Key`` and ``http.request.header.set-cookie`` are, ``token_count`` is not.
    Case, ``-``, ``_``, ``.``, camelCase and digits make no difference.
    """

    def __init__(self, extra_keys: Iterable[str] = ()) -> None:
        extra_keys = tuple(extra_keys)
        extra = {_squash(key) for key in extra_keys} - {""}
        self._keys = {_squash(key) for key in KEYS} | extra
        self._longest = max(map(len, self._keys))
        self._decided: dict[str, bool] = {}
        self._extra = bool(extra)
        self._ends = {key[-2:] for key in self._keys} | {"5d"}  # "5d": user%5Btoken%5D=
        self._harmless: set[str] = set()

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
        short = len(text) <= _CACHED_TEXT_MAX
        if short and text in self._harmless:
            return text
        low = text.lower()
        # Most texts end here: searching for parts of words costs less than any regular
        # expression, and looking for a rare letter first less than that.
        named = (
            "pass" in low
            or ("k" in low and ("token" in low or "key" in low or "ookie" in low))
            or ("cre" in low and ("secret" in low or "cred" in low))
            or "autho" in low
            or ("w" in low and ("pwd" in low or "jwt" in low))
            or self._extra
        )  # fmt: skip # one line a letter
        token = (
            ("J" in text and "eyJ" in text)
            or ("_" in low and ("gh" in low or "_pat_" in low or "k_live_" in low))
            or ("-" in low and ("sk-" in low or "xox" in low or "glpat-" in low))
            or ("K" in text and "AKIA" in text)
        )  # fmt: skip
        if named or token or "@" in low or "bearer" in low or "basic" in low:
            return self._settled(text, low, named, token)
        if short:
            self._remember(text)
        return text

    def _settled(self, text: str, low: str, named: bool, token: bool) -> str:
        """Replace until nothing changes: what one hides can look like another."""
        clean = self._replaced(text, low, named, token)
        if clean is not text and len(text) <= _SETTLED_MAX:
            for _ in range(3):
                before, clean = (
                    clean,
                    self._replaced(clean, clean.lower(), named, token),
                )
                if clean is before:
                    break
        return clean

    def _replaced(self, text: str, low: str, named: bool, token: bool) -> str:
        """Search each kind of secret that *low*, the text in small letters, allows."""
        clean = text
        if "private key" in low and "-----" in low:
            clean = replace_private_keys(clean)
        if token:
            clean = replace_tokens(clean)
        if "@" in low and "://" in low:
            clean = replace_url_passwords(clean)
        if "bearer" in low or "basic" in low:
            clean = replace_credentials(clean)
        if named:
            if "'," in clean or '",' in clean or "--" in clean or "</" in clean:
                clean = replace_pairs(clean, self.is_secret)
            if "=" in clean or ":" in clean or "%3" in clean:
                clean = replace_named(clean, self._ends, self.is_secret)
        return text if clean == text else clean

    def _remember(self, text: str) -> None:
        if len(self._harmless) >= _CACHE_MAX:
            self._harmless.clear()
        self._harmless.add(text)

    def _decide(self, name: str) -> bool:
        end = ""
        for word in reversed(_WORD.findall(name)):
            end = word.casefold() + end
            if end in self._keys:
                return True
            if len(end) > self._longest:
                break
        return end.endswith(_ENDINGS)


def _squash(name: str) -> str:
    return "".join(_WORD.findall(name)).casefold()
