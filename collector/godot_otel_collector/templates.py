"""What a line *is*: the template it was made from, known or found by masking."""

from __future__ import annotations

import re
import time
from hashlib import blake2b

from godot_otel_collector.call_sites import ANY, CallSites, Variant

OTHER = 0
"""The template id of lines above the limit of new templates."""

NEW_PER_HOUR = 1000
GIVEN = frozenset({
    "log.record.template",
    "message_template.text",
    "{OriginalFormat}",
    "logfire.msg_template",
})  # fmt: skip # one name a line
"""Attributes that name a line's template."""

PATH, LINE = "code.file.path", "code.line.number"
"""Attributes that name the place in the code, for lines without one of those."""

_MASKED_LENGTH = 1024  # of a body; what follows does not tell templates apart
_VARIABLE = re.compile(
    r""""[^"\n]*"|'[^'\n]*'|\b[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\b"""
    r"""|\b0x[0-9a-fA-F]+\b|\b(?=[a-fA-F]*\d)[0-9a-fA-F]{6,}\b|\d+"""
)
_DIGITS = bytes.maketrans(b"123456789", b"000000000")


Named = tuple[int, tuple[str, str]]
"""A template's id, and its logger and text: one object, for however many batches."""


def stable_id(*parts: bytes) -> int:
    """First 8 bytes of BLAKE2b-512 over the parts with NUL between, as a signed
    big-endian number: the same in every language."""
    return int.from_bytes(blake2b(b"\0".join(parts)).digest()[:8], "big", signed=True)


def mask(body: str) -> str:
    """Replace what varies: numbers, hex, uuids and quoted parts."""
    return _VARIABLE.sub(ANY, body)


def alike(body: bytes) -> bytes:
    """What tells templates apart, of UTF-8: lines that differ in digits are one."""
    if len(body) > _MASKED_LENGTH:
        body = body[:_MASKED_LENGTH]
    return body.translate(_DIGITS)


class Templates:
    """Gives every line its template id; bounded in memory and in new templates.

    Lines that differ in their digits alone are masked once, so most never are.
    """

    def __init__(self, *, cached: int = 50_000) -> None:
        self._cached = cached
        self._masked: dict[bytes, str] = {}
        self._found: dict[tuple[str, str, str], Named] = {}
        self._of: dict[tuple[str, str], dict[bytes, Named]] = {}
        self._lines_of = 0
        """How many lines were added to those, which counting anew would walk."""
        self._known: set[int] = set()
        self._new: dict[str, int] = {}
        self._hour = 0
        self._sites = CallSites()
        self._lines: dict[tuple[str, str, str, int, bytes], Variant] = {}

    def of(self, service: str, logger: str) -> dict[bytes, Named]:
        """What ``find`` has found for one logger, by ``alike`` of the lines.

        To be asked for anew with each batch: it is bounded, and ends with the hour.
        """
        hour = int(time.time() // 3600)
        if hour != self._hour:  # what was refused in the last one may come in now
            self._hour, self._new = hour, {}
            self._found.clear()
            self._of.clear()
            self._lines_of = 0
        elif self._lines_of >= self._cached or len(self._of) >= self._cached:
            self._of.clear()
            self._lines_of = 0
        return self._of.setdefault((service, logger), {})

    def find(self, service: str, logger: str, body: bytes, given: str = "") -> Named:
        """Return a line's template; *body* is UTF-8."""
        known, line = self.of(service, logger), alike(body)
        template = given or self._mask(line)
        slot = (service, logger, template)
        found = self._found.get(slot)
        if found is None:
            if len(self._found) >= self._cached:
                self._found.clear()
            found = self._found[slot] = self._admit(*slot)
        if not given:
            known[line] = found
            self._lines_of += 1
        return found

    def learn(
        self, service: str, logger: str, path: str, number: int, body: bytes
    ) -> Variant:
        """Return the template of a line that comes from one place in the code.

        It may yet change with the lines that come; ``quiet`` is how long it has not.
        """
        line = alike(body)
        slot = (service, logger, path, number, line)
        variant = self._lines.get(slot)
        if variant is None or variant.free:
            site = self._sites.at(slot[:4])
            variant = site.find(line, self._mask)
            if not variant.free:  # else one line is not like the other
                if len(self._lines) >= self._cached:
                    self._lines.clear()
                self._lines[slot] = variant
        return variant

    def _mask(self, body: bytes) -> str:
        template = self._masked.get(body)
        if template is None:
            if len(self._masked) >= self._cached:
                self._masked.clear()
            template = self._masked[body] = mask(body.decode("utf-8", "ignore"))
        return template

    def _admit(self, service: str, logger: str, template: str) -> Named:
        template_id = stable_id(logger.encode(), template.encode())
        if template_id in self._known:
            return template_id, (logger, template)
        if self._new.get(service, 0) >= NEW_PER_HOUR:
            return OTHER, (logger, "(other)")
        self._new[service] = self._new.get(service, 0) + 1
        if len(self._known) >= self._cached:
            self._known.clear()
        self._known.add(template_id)
        return template_id, (logger, template)
