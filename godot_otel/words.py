"""The words of a line, and the Bloom filters that say which chunks may hold them.

The format is stored with each filter: what is written under ``FORMAT`` 2 can be read
for as long as rows of it exist. A word is a run of Unicode letters and digits,
case-folded; an attribute is the one string ``key=value``. The hash of a word of UTF-8
bytes b0, b1, ... is the sum of b*i* * ``_BASE`` ** *i* modulo 2**64, through the
finalizer of SplitMix64. Position *i* of a word in a filter of *bits* bits is
``(first + i * step) mod bits``, *first* and *step* being the two halves of the hash,
*step* made odd, and bit *n* is the one that Postgres' ``get_bit`` calls *n*.

The words of a whole chunk are found and hashed at once, by numpy: one after the other
they would cost more than all else that is done with a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

FORMAT = 2
HASHES = 6
BITS_PER_WORD = 10
MAX_VALUE = 256
"""Characters of an attribute's value; filters hold no longer ones."""

_WORD = re.compile(r"[^\W_]+")
# ASCII letters in lower case and digits as they are, all else a NUL.
_ASCII_WORDS = bytes(
    ord(chr(i).lower()) if i < 128 and chr(i).isalnum() else 0 for i in range(256)
)
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)
_PIECE_BYTES = 128 * 1024
_KEPT_POWERS = 2 * _PIECE_BYTES
_PLACES = 1 << 17
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


def chunk_words(texts: Iterable[bytes], pairs: Iterable[Iterable[bytes]]) -> bytes:
    """The words of many texts, and each of their *pairs* once, as it is; a NUL between,
    or more.

    All of it is UTF-8.
    """
    ascii_texts: list[bytes] = []
    found = [*dict.fromkeys(chain.from_iterable(pairs))]
    for text in texts:
        if text.isascii():
            ascii_texts.append(text)
        else:
            found += (word.encode() for word in text_words(text.decode()))
    found.append(b"\n".join(ascii_texts).translate(_ASCII_WORDS))
    return b"\0".join(found)


def hashes(words: bytes) -> npt.NDArray[np.uint64]:
    """The hash of each word, in their order; a NUL, or more, between."""
    found = [_hashes(piece) for piece in _pieces(words)]
    mixed = np.concatenate(found) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashed: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return hashed


def halves(
    hashed: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """First position and step of each hash, before the modulus."""
    return hashed & np.uint64(0xFFFFFFFF), (hashed >> np.uint64(32)) | np.uint64(1)


def word_filter(words: bytes) -> tuple[int, bytes]:
    """Build the filter of *words*, a NUL between: its bits, and the bits as bytes."""
    distinct = _distinct(hashes(words))
    bits = max(64, -(-len(distinct) * BITS_PER_WORD // 8) * 8)
    # Once taken modulo *bits*, sums need no more than a subtraction.
    place, step = (
        (half % np.uint64(bits)).astype(np.intp) for half in halves(distinct)
    )
    flags = np.zeros(bits, dtype=bool)
    for _ in range(HASHES):
        flags[place] = True
        place += step
        place -= bits * (place >= bits)
    return bits, np.packbits(flags, bitorder="little").tobytes()


def _distinct(hashed: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Leave doubles out, nearly all of them: sorting would take as long as the rest.

    What shares its place in the table with another hash may stay more than once.
    """
    order = np.arange(len(hashed), dtype=np.int32)
    place = (hashed & np.uint64(_PLACES - 1)).astype(np.intp)
    table = np.zeros(_PLACES, dtype=np.int32)
    table[place] = order
    chosen = table[place]
    rest: npt.NDArray[np.uint64] = hashed[
        (chosen == order) | (hashed[chosen] != hashed)
    ]
    return rest


def _pieces(words: bytes) -> Iterator[bytes]:
    """Cut between words, so that memory is bounded; NULs around each piece."""
    start = 0
    while start <= len(words):
        end = words.find(b"\0", start + _PIECE_BYTES)
        if end < 0:
            end = len(words)
        yield b"\0%b\0" % words[start:end]
        start = end + 1


def _hashes(piece: bytes) -> npt.NDArray[np.uint64]:
    """Sum up each word: a difference of two running sums, shifted to its start."""
    data = np.frombuffer(piece, dtype=np.uint8)
    inside = data != 0
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    sums = np.cumsum(data * _powers(_BASE, len(piece)), dtype=np.uint64)
    return (sums[ends - 1] - sums[starts - 1]) * _powers(_INVERSE, len(piece))[starts]


def _powers(base: int, count: int) -> npt.NDArray[np.uint64]:
    if count > _KEPT_POWERS:  # a piece that is one long word
        return _made_powers(base, count)
    return _made_powers(base, _KEPT_POWERS)[:count]


@lru_cache(maxsize=2)
def _made_powers(base: int, count: int) -> npt.NDArray[np.uint64]:
    factors = np.full(count, base, dtype=np.uint64)
    factors[0] = 1
    powers: npt.NDArray[np.uint64] = np.cumprod(factors, dtype=np.uint64)
    return powers
