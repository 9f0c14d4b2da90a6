"""Secrets that free text shows without a name: known by their shape or their place."""

from __future__ import annotations

import base64
import binascii
import re

from godot_otel.redact.named import REDACTED

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_PRIVATE_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n\\"

_USER = re.compile(r"""://[^\s/?\#@:"'<>\[]*+:""")
# A database's URL has no @ behind its host, so its password may have both @ and /.
_DATABASES = ("sql", "postgres", "db", "redis", "rediss", "valkey", "amqp", "amqps")
_DATABASE_PASSWORD = re.compile(r"""(?:[^\s"'<>:?@]++|:(?!//)|@)*(?=@)""")
_PASSWORD = re.compile(r"""[^\s/?\#"'<>]*(?=@)""")
# Elsewhere host:80/@name is a port; only what cannot be one may have a / in it.
_ODD_PASSWORD = re.compile(
    r"""(?:(?<=://:)|(?!\d{1,5}[/?\#]))(?:[^\s"'<>:@]++|:(?!//)|@)*(?=@)"""
)

_CREDENTIALS = re.compile(
    r"[bB](?<![A-Za-z0-9].)((?:[eE][aA][rR][eE][rR]|[aA][sS][iI][cC])"
    r"(?:[ \t]{1,4}+|%20|:[ ]?+))([\w\-.~+/%]++=*+)",
    re.ASCII,
)
_PROSE = frozenset((
    "a", "an", "and", "as", "at", "auth", "authentication", "authorization", "bad",
    "bond", "bonds", "by", "certificate", "challenge", "credential", "credentials",
    "error", "expired", "failed", "flow", "for", "format", "from", "had", "has",
    "header", "headers", "in", "invalid", "is", "it", "jwt", "missing", "must", "no",
    "not", "of", "on", "or", "realm", "required", "schema", "scheme", "security",
    "share", "shares", "should", "that", "the", "to", "token", "tokens", "type", "was",
    "were", "which", "who", "will", "with",
))  # fmt: skip # a list reads best as a paragraph
_TOKEN = re.compile(
    r"""[egxAsr](?:(?<![A-Za-z0-9_\-].)|(?<=\\[nrt].))(?:
        (?<=e)yJ[\w\-]{2,}+\.[\w\-]{2,}+(?:\.[\w\-]*+)++
      | (?<=g)(?:h[pousr]_\w{20,}+|ithub_pat_\w{20,}+|lpat-[\w\-]{20,}+)
      | (?<=x)ox[a-z]-[\w\-]{10,}+
      | (?<=A)KIA[A-Z0-9]{16}(?!\w)
      | (?<=[sr])k_live_\w{16,}+
      | (?<=s)k-(?=[a-zA-Z_\-]{0,99}+\d)[\w\-]{20,}+
    )""",
    re.VERBOSE | re.ASCII,
)


def replace_private_keys(text: str) -> str:
    """Replace private keys, also those whose beginning or end was cut away."""
    text = _PRIVATE_KEY.sub(REDACTED, text)
    pieces: list[str] = []
    at = 0
    for found in _PRIVATE_KEY_END.finditer(text):
        pieces += text[at : found.start()].rstrip(_BASE64), REDACTED
        at = found.end()
    return "".join((*pieces, text[at:]))


def replace_url_passwords(text: str) -> str:
    """Replace the password in each URL that has one; its user and host stay."""
    pieces: list[str] = []
    at = 0
    for user in _USER.finditer(text):
        start = user.end()
        if user.start() < at:
            continue
        scheme = text[max(user.start() - 42, 0) : user.start()].lower()
        if "+" in scheme:  # postgresql+asyncpg
            scheme = scheme.rpartition("+")[0]
        password = (
            (scheme.endswith(_DATABASES) and _DATABASE_PASSWORD.match(text, start))
            or _PASSWORD.match(text, start)
            or _ODD_PASSWORD.match(text, start)
        )
        if password and password[0]:
            pieces += text[at:start], REDACTED
            at = password.end()
    return "".join((*pieces, text[at:]))


def replace_credentials(text: str) -> str:
    """Replace what follows ``Bearer`` or ``Basic`` and is no prose."""

    def replaced(found: re.Match[str]) -> str:
        known = _is_basic if found[1][0] in "aA" else _is_bearer
        return found[0][0] + found[1] + REDACTED if known(found) else found[0]

    return _CREDENTIALS.sub(replaced, text)


def replace_tokens(text: str) -> str:
    """Replace JSON web tokens and the keys of well-known services."""
    return _TOKEN.sub(REDACTED, text)


def _is_basic(found: re.Match[str]) -> bool:
    """Whether it is ``user:password`` in base64."""
    value = found[2].rstrip("=")
    try:
        decoded = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (ValueError, binascii.Error):
        return found[2].endswith("=") and len(value) >= 8
    return b":" in decoded and min(decoded) >= 32


def _is_bearer(found: re.Match[str]) -> bool:
    word = found[2].rstrip(".=")
    if not word or word.lower() in _PROSE:
        return False
    if (
        found[0].startswith("bearer")
        and word.isalpha()
        and word.islower()
        and len(word) < 16
    ):
        follows = found.string[found.end() : found.end() + 2]
        return not (follows[:1] == " " and follows[1:].isalpha())
    return True
