"""The templates of lines that one place in the code makes, and nobody names.

An f-string is gone when its line is logged. But lines of one place have one f-string:
they are compared part by part, and parts that differ become ``<*>``. What was learnt is
kept for as long as the collector runs; each one learns by itself, and they come to the
same templates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice

Place = tuple[str, str, str, int]
"""Service, logger, file and line."""

ANY = "<*>"
MAX_SITES = 4_000
MAX_SHAPES = 4
"""Lines of one place with this many sequences of parts; more share a beginning."""
MAX_OWN = 15
"""Lines that come again, of a place whose lines have no word in common."""
SETTLED = 50
"""Lines without a change; until then a batch's lines are named at its end."""

_MAX_ONCE = 512
_MAX_KNOWN = 16
_MAX_MATCHED_PARTS = 64
_UNMATCHED = 64  # lines that were compared part by part, before a pattern is made

_BREAKS = r"=,;()\[\]{}|:"
_PART = re.compile(
    rf"\w+://\S+|(?:[^\s{_BREAKS}]|:(?!\s|$))+|\s+|[{_BREAKS}]", re.ASCII
)
_WORD = re.compile(r"[^\W\d_]{2}")
# Every repetition is possessive: a line costs no more than its length, and what is
# not matched though it could be is compared part by part.
_ANY_PART = (
    r"""(?>\w+://\S++|"[^"\n]*+"|'[^'\n]*+'"""
    rf"|(?:[^\s{_BREAKS}]|:(?!\s|\Z))++)"
)
_MASKED_PIECE = (
    r"""(?>"[^"\n]*+"|'[^'\n]*+'|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}"""
    r"|0x[0-9a-fA-F]++|[0-9a-fA-F]{6,}+|0++)"
)


class Variant:
    """Lines of one sequence of parts, or with one beginning, or one line."""

    __slots__ = ("free", "parts", "quiet", "text")

    def __init__(self, parts: Sequence[str], end: str = "") -> None:
        self.parts = list(parts)
        self.text = _joined(parts, end)
        self.free = False
        """No word is left in it: it says nothing of its lines."""
        self.quiet = 0
        """Lines since it changed."""

    def change(self, parts: Sequence[str], end: str = "") -> None:
        """Become the template of more lines."""
        self.parts = list(parts)
        self.text = _joined(parts, end)
        self.free = not _WORD.search(self.text.replace(ANY, " "))
        self.quiet = 0


class Site:
    """One place in the code, and the few templates of its lines."""

    __slots__ = (
        "_known",
        "_matchers",
        "_once",
        "_own",
        "_shapes",
        "_tail",
        "_unmatched",
    )

    def __init__(self) -> None:
        self._shapes: dict[str, Variant] = {}
        self._known: dict[str, Variant] = {}
        self._tail: Variant | None = None
        self._matchers: list[tuple[Callable[[bytes], object], Variant]] = []
        self._unmatched = 0
        self._own: dict[str, Variant] = {}
        self._once: set[str] = set()

    def find(self, line: bytes, mask: Callable[[bytes], str]) -> Variant:
        """Return the template of *line*, whose digits are all 0."""
        for matches, known in self._matchers:
            if matches(line):
                variant = known
                break
        else:
            masked = mask(line)
            variant = self._known.get(masked) or self._learn(masked)
        return self._own_of(variant, mask(line)) if variant.free else variant

    def _learn(self, masked: str) -> Variant:
        parts = _PART.findall(masked)
        shape = "".join(map(_kind, parts))
        variant = self._shapes.get(shape)
        if variant is None and len(self._shapes) < MAX_SHAPES:
            variant = self._shapes[shape] = Variant(parts)
            self._changed()
        elif variant is None:
            variant = self._longer(parts)
        elif (merged := _merged(variant.parts, parts)) != variant.parts:
            variant.change(merged)
            self._changed()
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[masked] = variant
        self._unmatched += 1
        if self._unmatched == _UNMATCHED:
            self._matchers = self._patterns()
        return variant

    def _longer(self, parts: list[str]) -> Variant:
        """One template for whatever has no shape: a common beginning."""
        tail = self._tail
        if tail is None:
            tail = self._tail = Variant(parts, ANY)
            beginning = parts
            for variant in self._shapes.values():
                beginning = _merged(beginning, variant.parts)
        else:
            beginning = _merged(tail.parts, parts)
        beginning = _trimmed(beginning)
        if beginning != tail.parts:
            tail.change(beginning, ANY)
            self._changed()
        return tail

    def _changed(self) -> None:
        self._matchers = []
        self._unmatched = 0

    def _patterns(self) -> list[tuple[Callable[[bytes], object], Variant]]:
        variants = list(self._shapes.values())
        if max(len(variant.parts) for variant in variants) > _MAX_MATCHED_PARTS:
            return []
        found = [(_pattern(one.parts, rb"\Z"), one) for one in variants]
        if self._tail is not None:  # the last: it matches what has a shape too
            found.append((_pattern(self._tail.parts, b""), self._tail))
        return found

    def _own_of(self, free: Variant, masked: str) -> Variant:
        """A line of no common words: one that comes again is a message by itself."""
        own = self._own.get(masked)
        if own is not None:
            return own
        if masked in self._once and len(self._own) < MAX_OWN:
            own = self._own[masked] = Variant([masked])
            return own
        if len(self._once) >= _MAX_ONCE:
            self._once.clear()
        self._once.add(masked)
        return free


class CallSites:
    """Every place that lines came from lately; bounded in memory."""

    def __init__(self) -> None:
        self._sites: dict[Place, Site] = {}

    def at(self, place: Place) -> Site:
        """Return what is known of one place."""
        site = self._sites.get(place)
        if site is None:
            if len(self._sites) >= MAX_SITES:
                for old in list(islice(self._sites, MAX_SITES // 2)):
                    del self._sites[old]
            site = self._sites[place] = Site()
        return site


def _joined(parts: Sequence[str], end: str) -> str:
    apart = " " if end and parts and _kind(parts[-1]) == "w" else ""
    return "".join(parts) + apart + end


def _kind(part: str) -> str:
    if part.isspace():
        return " "
    return part if len(part) == 1 and part in "=,;()[]{}|:" else "w"


def _merged(known: list[str], new: list[str]) -> list[str]:
    """The beginning that both have the kinds of parts of; in words, what both say."""
    merged = []
    for one, other in zip(known, new, strict=False):
        if one == other:
            merged.append(one)
        elif (kind := _kind(one)) == _kind(other):
            merged.append(ANY if kind == "w" else " ")
        else:
            break
    return merged


def _trimmed(parts: list[str]) -> list[str]:
    """Up to the last word that is the same in all, and what separates it."""
    end = 0
    for place, part in enumerate(parts):
        kind = _kind(part)
        if part != ANY and (kind == "w" or place == end):
            end = place + 1
    return parts[:end]


def _pattern(parts: Sequence[str], end: bytes) -> Callable[[bytes], object]:
    """A quick test whether a line, its digits all 0, has these parts."""
    pieces = [
        _ANY_PART
        if part == ANY
        else r"\s++"
        if part.isspace()
        else _MASKED_PIECE.join(map(re.escape, part.split(ANY)))
        for part in parts
    ]
    return re.compile("".join(pieces).encode() + end).match
