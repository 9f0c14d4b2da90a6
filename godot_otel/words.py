"""The words of a line, and the Bloom filters that say which chunks may hold them.

The format is stored with each filter: what is written under ``FORMAT`` 1 can be read
for as long as rows of it exist. A word is a run of Unicode letters and digits,
case-folded; an attribute is the one string ``key=value``. Position *i* of a word in a
filter of *bits* bits is ``(first + i * step) mod bits``, *first* and *step* being the
two halves of the 64-bit finalizer of SplitMix64 over the word's CRC-32, and bit *n* is
the one that Postgres' ``get_bit`` calls *n*.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

FORMAT = 1
HASHES = 6
BITS_PER_WORD = 10
MAX_VALUE = 256
"""Characters of an attribute's value; filters hold no longer ones."""

_WORD = re.compile(r"[^\W_]+")
# ASCII letters in lower case and digits as they are, all else a blank.
_ASCII_WORDS = bytes(
    ord(chr(i).lower()) if i < 128 and chr(i).isalnum() else 32 for i in range(256)
)
EXCEPTION = frozenset({"exception.type", "exception.message", "exception.stacktrace"})
"""Attributes in which a search looks, beside the body."""


def text_words(text: str) -> list[str]:
    """Every word of *text* in order, doubles included."""
    return _WORD.findall(text.casefold())


def searchable(body: str, attributes: Mapping[str, Any] | None) -> str:
    """The text in which a search looks: the body and what an exception said."""
    if not attributes or EXCEPTION.isdisjoint(attributes):
        return body
    found = [attributes.get(key) for key in sorted(EXCEPTION)]
    return "\n".join([body, *(value for value in found if isinstance(value, str))])


def attribute_word(key: str, value: Any) -> str | None:
    """The filter's entry for an attribute; None for values that no filter holds."""
    if isinstance(value, bool):
        return f"{key}={'true' if value else 'false'}"
    if isinstance(value, str):
        return f"{key}={value}" if len(value) <= MAX_VALUE else None
    if isinstance(value, int):
        return f"{key}={value}"
    return None


def chunk_words(texts: Iterable[bytes]) -> set[bytes]:
    """The distinct words of many texts; all of it UTF-8."""
    ascii_texts: list[bytes] = []
    found: set[bytes] = set()
    for text in texts:
        if text.isascii():
            ascii_texts.append(text)
        else:
            found.update(word.encode() for word in text_words(text.decode()))
    # The same words, several times as fast as by the regular expression.
    found.update(b"\n".join(ascii_texts).translate(_ASCII_WORDS).split())
    return found


def hashes(words: Collection[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """First position and step of each word, before the modulus."""
    mixed = np.fromiter(map(zlib.crc32, words), dtype=np.uint64, count=len(words))
    mixed = mixed + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed & np.uint64(0xFFFFFFFF), (mixed >> np.uint64(32)) | np.uint64(1)


def word_filter(words: Collection[bytes]) -> tuple[int, bytes]:
    """Build the filter of a chunk's distinct words: its bits, and the bits as bytes."""
    bits = max(64, -(-len(words) * BITS_PER_WORD // 8) * 8)
    first, step = hashes(words)
    flags = np.zeros(bits, dtype=np.uint8)
    for i in range(HASHES):
        flags[(first + np.uint64(i) * step) % np.uint64(bits)] = 1
    return bits, np.packbits(flags, bitorder="little").tobytes()
