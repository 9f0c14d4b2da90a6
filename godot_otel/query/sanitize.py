"""Cleans text that anybody who can make a service log may have written.

Removed are the characters that hide or rearrange what a reader sees: terminal escape
sequences, control characters, invisible and direction-changing ones. Cleaning comes
before shortening, so that what is hidden cannot push out what is not.
"""

from __future__ import annotations

import json
import re
from typing import Any

NAME_MAX = 80  # characters
# A sequence's inside excludes ESC, so that a text full of beginnings is read once.
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-Z\\-~]"
)
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\U000e0000-\U000e00ff\U000e01f0-\U000e0fff\ud800-\udfff]"
)
_UNSEEN = re.compile(f"{_HIDDEN.pattern}|[\x85\u2028\u2029]")
# Variation selectors and the joiner belong to the character before them, one each:
# to symbols and emoji, to digits of keycaps, and the far ones to ideographs.
_ORPHAN = re.compile(
    "(?<![\xa9\xae#*0-9\u2010-\u2bff\u3000-\u33ff\u3400-\u9fff\U0001f000-\U0003ffff])"
    "[\ufe00-\ufe0f]"
    "|(?<![\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])[\U000e0100-\U000e01ef]"
    "|(?<![\u2190-\u2bff\U0001f000-\U0001faff\ufe0f])\u200d"
)
_BREAKS = {
    "\r\n": "\\n", "\n": "\\n", "\r": "\\r",
    "\x85": "\\n", "\u2028": "\\n", "\u2029": "\\n",
}  # fmt: skip # what breaks a line beside how it is shown
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def clean(text: str) -> str:
    """Remove what hides or rearranges; line breaks and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return _ORPHAN.sub("", _HIDDEN.sub("", _ANSI.sub("", text)))


def line(text: str) -> str:
    """Clean, and show line breaks as ``\\n``: one row can then not pose as two."""
    return _BREAK.sub(lambda found: _BREAKS[found[0]], clean(text))


def name(text: str, most: int = NAME_MAX) -> str:
    """A name on a row: clean, short, and never nothing."""
    return shorten(line(text), most) or "-"


def block(text: str) -> list[str]:
    """Clean, line by line; whoever shows them must indent each one."""
    return _BREAK.split(clean(text))


def value(anything: Any) -> Any:
    """Clean every string of a JSON value, keys included."""
    if isinstance(anything, str):
        return clean(anything)
    if isinstance(anything, list):
        return [value(item) for item in anything]
    if isinstance(anything, dict):
        return {clean(str(key)): value(item) for key, item in anything.items()}
    return anything


def escaped(text: str) -> str:
    """JSON text with what hides, rearranges or breaks lines as ``\\u`` escapes.

    It stands for the same value, and is one line for whoever reads it.
    """
    return _UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], text)


def shorten(text: str, max_chars: int) -> str:
    """Cut to *max_chars* and say how many characters more there were."""
    if len(text) <= max_chars:
        return text
    return f"{text[:max_chars]} ... [+{len(text) - max_chars} chars]"


def shorten_front(text: str, max_chars: int) -> str:
    """Keep the last *max_chars* and say how many characters came before."""
    if len(text) <= max_chars:
        return text
    return f"[{len(text) - max_chars} chars+] ... {text[-max_chars:]}"
