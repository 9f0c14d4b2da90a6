"""Secrets that free text calls by name: ``password=x``, ``"token": "x"``.

Every separator is looked at: the name before it is read backwards, the redactor decides
about the name, and the value behind it is measured. All of it takes linear time on any
text: runs are possessive, and nothing that was measured is measured again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from typing import NamedTuple

REDACTED = "[REDACTED]"

IsSecret = Callable[[str], bool]

# Their values hold spaces: the rest of the line belongs to them.
_WHOLE_LINE = ("authorization", "cookie", "cookies", "passphrase")
_MAX_NAME = 64  # a name's end decides
_BEHIND = 48  # characters between a name and its separator
_MAX_UNCLOSED = 2
_MAX_SECRETS = 1000
_OPEN = ("(", "[", "{")

_SEPARATOR = re.compile(r"(?:=[=>]?+|:(?!:|//)=?+|%3[dD])[ \t]{0,64}+")
_BETWEEN = " \t\"'\\]0123456789_-."  # what may stand behind a name's last letter
# A name and what follows it, backwards: that is how they are read from a separator.
_NAME = re.compile(
    r"""[ \t]{0,40}+(?:[dD]5%)?+(\]?+(?:["']\\{0,8}+)?+)((?:s?yek[ ])?+[\w.\-]++)""",
    re.VERBOSE | re.IGNORECASE,
)
_NEXT = r"""["']?+[\w.\-]{1,64}+["']?+[ ]?+[=:]"""  # the next value's name
_BARE = re.compile(
    rf"""(?:
        \[REDACTED\]
      | [^\s"'&,;()\[\]{{}}<>\\]++
      | ["'](?=\w)
      | [&,;)\]}}<>]++(?=[^\s"'])(?!{_NEXT})
      | \\(?!\\*+["']|[nrt](?:{_NEXT}|[\s\\"']|\Z))
    )*+""",
    re.VERBOSE,
)
_SCHEME = re.compile(
    r"(?:bearer|basic|digest|negotiate|ntlm|token|api-?key) {1,4}+(?=[\w.~+/=%\[])",
    re.IGNORECASE,
)
_COOKIE_PAIRS = re.compile(r"""(?:;[ ]?+[\w.\-]++=[^\s;,"']*+)*+""")
_OPENING = re.compile(r"""[bBfFrRuU]{0,2}+(\\{0,8}+)(["'])""")
_INSIDE = {quote: re.compile(rf"(?:[^{quote}\\\n]++|\\.)*+") for quote in "\"'"}
_BRACKET = re.compile(
    r"""[(\[{]|[)\]}]|"(?:[^"\\\n]++|\\.)*+"|'(?:[^'\\\n]++|\\.)*+'"""
)
_LINE = {
    stop: re.compile(rf"(?:[^\n\r\\{stop}]++|\\(?![nr{stop}]))*+")
    for stop in ("", '"', "'")
}
# ("name", "value"): a header, as servers and clients keep them
_PAIR = re.compile(
    r"""([(\[][bu]?+(["'])([\w.\-]++)\2,[ ]?+[bu]?+)
        (?:"(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+')(?=[)\]])""",
    re.VERBOSE | re.DOTALL,
)
_OPTION = re.compile(
    r"""(-(?<![\w\-]-)-?+([\w\-]++)(?:[ ]{1,4}+["']?+|["'],[ ]?+["']))
        (?:\[REDACTED\]|(?!-)[^\s"',)\]}]++)""",
    re.VERBOSE,
)
_ELEMENT = re.compile(r"(<([\w.\-:]++)(?:\s[^<>]{0,200}+)?+>)[^<]++(?=</)")
_PROSE = frozenset((
    "and", "are", "as", "by", "can", "cannot", "for", "from", "has", "in", "is", "must",
    "not", "of", "option", "or", "should", "to", "was", "which", "with",
))  # fmt: skip # a list reads best as a paragraph


class Name(NamedTuple):
    """A secret's name in a text, and where its value can start."""

    text: str
    start: int
    quoted: bool
    colon: bool
    value: int


def replace_named(text: str, ends: Container[str], is_secret: IsSecret) -> str:
    """Replace each value whose name is a secret's name.

    *ends* must hold the last two letters of all such names.
    """
    spans: list[tuple[int, int]] = []
    count = last = 0
    values = _Values(text)
    for separator in _SEPARATOR.finditer(text):
        if separator.end() < last:
            continue
        at = separator.start()
        before = text[at - 2 : at]
        if not before.isalpha():
            before = text[max(at - _BEHIND, 0) : at].rstrip(_BETWEEN)[-2:]
        if before.lower() not in ends:
            continue
        name = _name(text, separator, is_secret)
        if name is None:
            continue
        start, end = values.extent(name)
        count += 1
        if count > _MAX_SECRETS:  # what holds so many is worth no more time
            end = len(text)
        if end <= start:
            continue
        if name.start < last:  # the name itself is in a secret: a longer secret
            start = spans.pop()[0]
        spans.append((start, end))
        last = end
        if end == len(text):
            break
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        pieces += text[at:start], REDACTED
        at = end
    return "".join((*pieces, text[at:])) if spans else text


def replace_pairs(text: str, is_secret: IsSecret) -> str:
    """Replace *x* in ``("name", "x")``, ``--name x`` and ``<name>x</name>``."""

    def pair(found: re.Match[str]) -> str:
        quote = found[0][-1]
        secret = is_secret(found[3][-_MAX_NAME:])
        return f"{found[1]}{quote}{REDACTED}{quote}" if secret else found[0]

    def option(found: re.Match[str]) -> str:
        secret = is_secret(found[2][-_MAX_NAME:])
        value = found[0][len(found[1]) :]
        return found[1] + REDACTED if secret and value not in _PROSE else found[0]

    def element(found: re.Match[str]) -> str:
        return found[1] + REDACTED if is_secret(found[2][-_MAX_NAME:]) else found[0]

    text = _OPTION.sub(option, _PAIR.sub(pair, text))
    return _ELEMENT.sub(element, text) if "</" in text else text


def _name(text: str, separator: re.Match[str], is_secret: IsSecret) -> Name | None:
    """Return the name before *separator* if it is a secret's."""
    at = separator.start()
    found = _NAME.match(text[max(at - _MAX_NAME - _BEHIND, 0) : at][::-1])
    if found is None:
        return None
    name, start = found[2][::-1], at - found.end()
    if text.endswith("://", 0, start):  # a user and password, which URLs have
        return None
    before = text[start - 1 : start]
    if not is_secret(name):
        # behind a written "\n" or "%3F", which are no part of the name
        if before == "\\" and name[0] in "nrt":
            name = name[1:]
        elif before == "%":
            name = name[2:]
        if not is_secret(name):
            return None
    return Name(name, start, found[1] != "", separator[0][0] == ":", separator.end())


class _Values:
    """Measures the values of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._unclosed = 0

    def extent(self, name: Name) -> tuple[int, int]:
        """Return where the value behind *name* starts and ends."""
        text, at = self._text, name.value
        if opening := _OPENING.match(text, at):
            return self._quoted(opening)
        whole_line = (
            name.text.lower().replace("-", "").replace("_", "").endswith(_WHOLE_LINE)
        )
        if whole_line and name.colon and not name.quoted:
            before = text[name.start - 1 : name.start]
            line = _LINE[before if before in ('"', "'") else ""].match(text, at)
            return at, line.end() if line else at
        end = self._bare(at)
        if whole_line and (more := _COOKIE_PAIRS.match(text, end)):
            end = more.end()
        return at, end

    def _quoted(self, opening: re.Match[str]) -> tuple[int, int]:
        """Measure up to the closing quote, without one up to the line's end."""
        text, start = self._text, opening.end()
        if not opening[1]:
            inside = _INSIDE[opening[2]].match(text, start)
            return start, inside.end() if inside else start
        line_end = text.find("\n", start)
        if line_end < 0:
            line_end = len(text)
        closing = opening[1] + opening[2]
        end = text.find(closing, start, line_end)
        while end > 0 and text[end - 1] == "\\":  # a quote of the value itself
            end = text.find(closing, end + 1, line_end)
        return start, end if end >= 0 else line_end

    def _bare(self, at: int) -> int:
        text = self._text
        scheme = _SCHEME.match(text, at)
        end = scheme.end() if scheme else at
        while True:
            run = _BARE.match(text, end)
            end = run.end() if run else end
            if text[end : end + 1] not in _OPEN:
                return end
            end = self._bracketed(end)

    def _bracketed(self, at: int) -> int:
        """Return where the bracket closes; the line's end when it does not."""
        depth = 0
        for found in _BRACKET.finditer(self._text, at):
            first = found[0][0]
            if first in "([{":
                depth += 1
            elif first in ")]}":
                depth -= 1
                if not depth:
                    return found.end()
        self._unclosed += 1
        if self._unclosed > _MAX_UNCLOSED:  # each was looked for up to the text's end
            return len(self._text)
        end = self._text.find("\n", at)
        return end if end >= 0 else len(self._text)
