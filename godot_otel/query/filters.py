"""What may be asked: filters as people and agents write them, checked and parsed.

A value that cannot be understood is refused by its name, never replaced by a default.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from godot_otel import words
from godot_otel.errors import SettingError

LEVELS = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}
_LEVEL_ALIASES = {"WARNING": "WARN", "CRITICAL": "FATAL"}
MAX_CONDITIONS = 8
MAX_TEXT = 2000  # characters of one filter

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_RELATIVE = re.compile(r"-?(\d{1,9})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_CONDITION = re.compile(r"\s*([^\s=!~<>]+)\s*(!=|>=|<=|=|~|<|>)\s*(.*?)\s*", re.DOTALL)
_EXISTS = re.compile(r"\s*([^\s=!~<>]+)\s+exists\s*", re.IGNORECASE)
_QUOTED = re.compile(r'"([^"]*)"')
_FIRST, _LAST = (datetime(year, 1, 1, tzinfo=UTC) for year in (1970, 2262))


class FilterError(SettingError):
    """A filter cannot be understood."""


@dataclass(frozen=True, slots=True)
class TraceIds:
    """The trace ids a text stands for: one id, or all that begin alike."""

    low: UUID
    high: UUID

    @property
    def whole(self) -> bool:
        """Whether the text was a complete id."""
        return self.low == self.high

    @property
    def hex(self) -> str:
        """The id, or the digits its candidates share, in lower case."""
        if self.whole:
            return self.low.hex
        pairs = zip(self.low.hex, self.high.hex, strict=True)
        return "".join(a for a, b in pairs if a == b)


@dataclass(frozen=True, slots=True)
class Condition:
    """One ``where``: an attribute's key, an operator and what it is compared with."""

    key: str
    operator: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A text search: words that must all occur, and words in a row."""

    words: tuple[str, ...] = ()
    phrases: tuple[tuple[str, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.words or self.phrases)

    def all_words(self) -> list[str]:
        """Every word that a matching line must hold, each once."""
        found = [*self.words, *(word for phrase in self.phrases for word in phrase)]
        return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Filters:
    """One question's filters, parsed; made by ``parse``."""

    trace: TraceIds | None = None
    span_id: bytes = b""
    component: str = ""
    logger: str = ""
    environment: str = ""
    version: str = ""
    operation: str = ""
    """Of spans; lines have none."""
    severity: int = 0
    since: datetime | None = None
    until: datetime | None = None
    text: Text = Text()
    where: tuple[Condition, ...] = ()
    given: dict[str, str] = field(default_factory=dict)
    """The filters as they were written, for headers and for the digest."""

    def digest(self, *more: str) -> str:
        """Tell these filters (and what else makes a question) from others."""
        parts = [f"{name}={value}" for name, value in sorted(self.given.items())]
        text = "\0".join([*parts, *more])
        return hashlib.blake2b(
            text.encode("utf-8", "replace"), digest_size=6
        ).hexdigest()


def parse(
    *,
    trace_id: str = "",
    span_id: str = "",
    component: str = "",
    logger: str = "",
    environment: str = "",
    version: str = "",
    operation: str = "",
    level: str = "",
    since: str = "",
    until: str = "",
    search: str = "",
    where: tuple[str, ...] | list[str] = (),
    default_since: str = "-1h",
) -> Filters:
    """Parse filters as written; an empty text is no filter.

    Without a trace id, an empty *since* means *default_since*; with one, everything
    that is kept.

    Raises:
        FilterError: one of them cannot be understood; the message names it.
    """
    now = datetime.now(UTC)
    given = {
        "trace_id": trace_id, "span_id": span_id, "component": component,
        "logger": logger, "environment": environment, "version": version,
        "operation": operation, "level": level,
        "since": since, "until": until, "search": search,
        "where": "\0".join(where),
    }  # fmt: skip # a name beside its value
    for name, value in given.items():
        if name == "where":
            check_text(name, value.replace("\0", " "), MAX_TEXT * MAX_CONDITIONS)
        else:
            check_text(name, value)
    start = since.strip() or ("" if trace_id.strip() else default_since)
    filters = Filters(
        trace=trace_ids(trace_id) if trace_id.strip() else None,
        span_id=_span_id(span_id) if span_id.strip() else b"",
        component=component.strip(),
        logger=logger.strip(),
        environment=environment.strip(),
        version=version.strip(),
        operation=operation.strip(),
        severity=severity(level) if level.strip() else 0,
        since=moment("since", start, now) if start else None,
        until=_end(until, now),
        text=text_search(search) if search.strip() else Text(),
        where=conditions(where),
        given={name: value for name, value in given.items() if value.strip()},
    )
    if filters.since and filters.until and filters.since >= filters.until:
        raise FilterError("since: is not before until; the window is empty")
    return filters


def check_text(name: str, value: str, most: int = MAX_TEXT) -> None:
    """Return when a text can be compared with what is stored.

    Raises:
        FilterError: it cannot; the message says why.
    """
    if "\0" in value:
        raise FilterError(f"{name}: a NUL character is in no stored line")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise FilterError(f"{name}: it is not valid Unicode")
    if len(value) > most:
        raise FilterError(f"{name}: longer than {MAX_TEXT} characters")


def _end(text: str, now: datetime) -> datetime | None:
    """Leave ``now`` open: a clock a little ahead must not hide its newest lines."""
    return None if text.strip().lower() in ("", "now") else moment("until", text, now)


def severity(text: str) -> int:
    """The lowest severity number of a level's name, in any case."""
    name = text.strip().upper()
    name = _LEVEL_ALIASES.get(name, name)
    if name not in LEVELS:
        near = difflib.get_close_matches(name, [*LEVELS, *_LEVEL_ALIASES], 1)
        hint = f", did you mean {near[0]}?" if near else ""
        raise FilterError(f"level: {text!r} is none of {', '.join(LEVELS)}{hint}")
    return LEVELS[name]


def level_name(number: int) -> str:
    """The usual name of a severity number; empty for one that has none."""
    names = [name for name, lowest in LEVELS.items() if lowest <= number <= lowest + 3]
    return names[0] if names else ""


def moment(name: str, text: str, now: datetime) -> datetime:
    """Read ISO 8601 with a zone, or '-15m', '-2h', '-7d', 'now', as UTC.

    Raises:
        FilterError: it is none of them, or of a year that no line can be of.
    """
    stripped = text.strip()
    if stripped.lower() == "now":
        return now
    try:
        if relative := _RELATIVE.fullmatch(stripped.lower()):
            seconds = int(relative[1]) * _UNITS[relative[2]]
            found = now - timedelta(seconds=seconds)
        else:
            found = _absolute(name, text)
    except OverflowError:
        found = datetime.min.replace(tzinfo=UTC)
    if not _FIRST <= found <= _LAST:
        raise FilterError(f"{name}: {text!r} is not of 1970 to 2262, as lines are")
    return found


def _absolute(name: str, text: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise FilterError(
            f"{name}: {text!r} is no time; write 2026-11-22T14:30:00Z, -15m, -2h, -7d"
            " or now"
        ) from None
    if parsed.tzinfo is None:
        raise FilterError(
            f"{name}: {text!r} has no time zone; in UTC it is {parsed.isoformat()}Z"
        )
    return parsed.astimezone(UTC)


def trace_ids(text: str) -> TraceIds:
    """Read 32 hex digits, the first 8 or more of them, uuid form, or a traceparent."""
    stripped = text.strip().lower()
    parent = _TRACEPARENT.fullmatch(stripped)
    digits = parent[1] if parent else stripped.replace("-", "")
    if not re.fullmatch(r"[0-9a-f]{8,32}", digits):
        raise FilterError(
            f"trace id: {text[:100]!r} is none; write its 32 hex digits, the first 8"
            " or more of them, or a whole traceparent"
        )
    return TraceIds(UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f")))


def _span_id(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{16}", text.strip()):
        raise FilterError(f"span id: {text[:100]!r} is none; write its 16 hex digits")
    return bytes.fromhex(text.strip())


def text_search(text: str) -> Text:
    """Split into words, all of which must occur, and "quoted phrases"."""
    if text.count('"') % 2:
        raise FilterError("search: a quotation mark is not closed")
    phrases = [tuple(words.text_words(phrase)) for phrase in _QUOTED.findall(text)]
    single = words.text_words(_QUOTED.sub(" ", text))
    parsed = Text(
        words=tuple(dict.fromkeys(single)),
        phrases=tuple(phrase for phrase in phrases if phrase),
    )
    if not parsed:
        raise FilterError(f"search: no word (letters or digits) in {text[:100]!r}")
    return parsed


def conditions(texts: tuple[str, ...] | list[str]) -> tuple[Condition, ...]:
    """Read each ``where``; at most 8 of them."""
    if len(texts) > MAX_CONDITIONS:
        raise FilterError(f"where: {len(texts)} conditions; at most {MAX_CONDITIONS}")
    return tuple(_condition(text) for text in texts)


def _condition(text: str) -> Condition:
    if "\0" in text:
        raise FilterError("where: a NUL character is in no stored attribute")
    if exists := _EXISTS.fullmatch(text):
        return Condition(exists[1], "exists")
    if not (parts := _CONDITION.fullmatch(text)):
        raise FilterError(
            f"where: {text[:100]!r} is none of key=value key!=value key~regex key>n"
            " key<n 'key exists'"
        )
    key, operator, value = parts.groups()
    if operator in ("<", ">", "<=", ">="):
        if not re.fullmatch(r"[+-]?(\d{1,300}(\.\d{0,300})?|\.\d{1,300})", value):
            raise FilterError(f"where: {value[:100]!r} in {key!r} is no number")
        value = value.lstrip("+")
    return Condition(key, operator, value)
