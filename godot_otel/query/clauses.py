"""Filters as SQL: every value is bound, none becomes part of a statement's text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from godot_otel import store, words
from godot_otel.query.filters import LEVELS, Condition, Filters, Text
from godot_otel.query.reader import fetch

_NUMBER = r"^-?\d+(\.\d+)?([eE][-+]?\d{1,3})?$"
_PLAIN_INTEGER_DIGITS = 15


class Clauses:
    """Conditions to be joined by AND, with the values they bind."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.values: list[Any] = []

    def add(self, text: str, *values: Any) -> None:
        """Add one condition, with a value for each of its placeholders."""
        self.texts.append(text)
        self.values += values

    def extend(self, other: Clauses) -> None:
        """Add all of another's."""
        self.texts += other.texts
        self.values += other.values

    def __str__(self) -> str:
        return " AND ".join(self.texts) or "true"


def row_clauses(filters: Filters) -> Clauses:
    """What a row ``l`` of logs must fulfil, beside time, trace and text."""
    clauses = Clauses()
    if filters.severity:
        clauses.add("l.severity >= %s", filters.severity)
    if filters.span_id:
        clauses.add("l.span_id = %s", filters.span_id)
    if filters.component:
        name_clause(clauses, "l.service", filters.component)
    if filters.logger:
        name_clause(clauses, "l.logger", filters.logger)
    if filters.environment:
        clauses.add("l.environment = %s", filters.environment)
    if filters.version:
        clauses.add(
            "l.resource_id IN (SELECT id FROM resources WHERE version = %s)",
            filters.version,
        )
    for condition in filters.where:
        _where(clauses, condition)
    return clauses


def span_clauses(filters: Filters) -> Clauses:
    """What a row ``l`` of spans must fulfil, beside time, trace and text.

    A span's level is ERROR where it failed, else INFO; its logger is its scope.
    """
    clauses = Clauses()
    if filters.severity > LEVELS["ERROR"]:
        clauses.add("false")
    elif filters.severity > LEVELS["INFO"]:
        clauses.add("l.status = 2")
    if filters.operation:
        name_clause(clauses, "l.name", filters.operation)
    if filters.component:
        name_clause(clauses, "l.service", filters.component)
    if filters.logger:
        scopes = Clauses()
        name_clause(scopes, "name", filters.logger)
        where = " ".join(["IN (SELECT id FROM scopes WHERE", str(scopes), ")"])
        clauses.add(f"l.scope_id {where}", *scopes.values)
    if filters.environment:
        clauses.add("l.environment = %s", filters.environment)
    if filters.version:
        clauses.add(
            "l.resource_id IN (SELECT id FROM resources WHERE version = %s)",
            filters.version,
        )
    for condition in filters.where:
        if condition.key == "body" and condition.operator in ("=", "!=", "~"):
            clauses.add("false")  # spans have none
        else:
            _where(clauses, condition)
    return clauses


def name_clause(clauses: Clauses, column: str, name: str) -> None:
    """Match a name whole, or its beginning where it ends in ``*``."""
    if name.endswith("*"):
        clauses.add(f"starts_with({column}, %s)", name[:-1])
    else:
        clauses.add(f"{column} = %s", name)


def _where(clauses: Clauses, condition: Condition) -> None:
    """An attribute of the record counts, else that of its resource.

    ``body`` is the line itself, for parts of words and patterns, which filters of
    words cannot find. Like the negations of other log stores, ``key!=value`` also holds
    without the key.
    """
    if condition.key == "body" and condition.operator in ("=", "!=", "~"):
        operator = "<>" if condition.operator == "!=" else condition.operator
        clauses.add(f"l.body {operator} %s", condition.value)
        return
    row = _compare("l.attributes", condition)
    resource = _compare("attributes", condition)
    bound = _values(condition)
    resources = " ".join(["IN (SELECT id FROM resources WHERE", resource, ")"])
    either = (
        f"CASE WHEN (l.attributes ? %s) IS TRUE THEN {row}"
        f" ELSE l.resource_id {resources} END"
    )
    if condition.operator == "!=":
        either = f"NOT ({either})"
    clauses.add(either, condition.key, *bound, *bound)


def _compare(column: str, condition: Condition) -> str:
    operator = condition.operator
    if operator == "exists":
        return f"({column} ? %s)"
    if operator in ("=", "!="):
        return f"coalesce({column} ->> %s = %s, false)"
    if operator == "~":
        return f"coalesce({column} ->> %s ~ %s, false)"
    return (
        f"CASE WHEN {column} ->> %s ~ %s"
        f" THEN ({column} ->> %s)::numeric {operator} %s::numeric ELSE false END"
    )


def _values(condition: Condition) -> list[str]:
    if condition.operator == "exists":
        return [condition.key]
    if condition.operator in ("<", ">", "<=", ">="):
        return [condition.key, _NUMBER, condition.key, condition.value]
    return [condition.key, condition.value]


async def check_patterns(connection: store.Connection, filters: Filters) -> None:
    """Have the store read each regular expression, also where it meets no row.

    Raises:
        psycopg.errors.InvalidRegularExpression: one is none; whoever lent the
            connection says so.
    """
    for condition in filters.where:
        if condition.operator == "~":
            await fetch(connection, "SELECT '' ~ %s::text", [condition.value])


async def filter_words(connection: store.Connection, filters: Filters) -> list[str]:
    """What must be in a chunk's word filter for the chunk to hold a matching line.

    An attribute counts only where the filters of lines surely hold it: not when a
    resource has it too, and not for values that may be a number's or an object's text.
    """
    found = filters.text.all_words()
    for condition in filters.where:
        if (
            condition.operator != "="
            or condition.key == "body"
            or not _in_filters(condition)
        ):
            continue
        resource = await fetch(
            connection,
            "SELECT FROM resources WHERE attributes ->> %s = %s LIMIT 1",
            [condition.key, condition.value],
        )
        word = words.attribute_word(condition.key, condition.value)
        if word is not None and not resource:
            found.append(word)
    return found


def _in_filters(condition: Condition) -> bool:
    """Whether every stored value with this text is in filters.

    Fractions are not, nor objects, lists, and what the collector itself adds or
    changes (``log.*``, ``span.*``, NUL to U+FFFD).
    """
    value = condition.value
    if len(value) > 256 or value[:1] in ("{", "["):
        return False
    if condition.key.startswith(("log.", "span.")) or "\ufffd" in condition.key + value:
        return False
    try:
        float(value)
    except ValueError:
        return True
    digits = value.removeprefix("-")
    return (
        digits.isascii() and digits.isdigit() and len(digits) <= _PLAIN_INTEGER_DIGITS
    )


def chunk_clauses(entries: Iterable[str]) -> Clauses:
    """What a row of word_filters must fulfil to be a candidate.

    Filters of a format that this program does not know are candidates always.
    """
    clauses = Clauses()
    hashed = words.hashes("\0".join(entries).encode())
    first, step = words.halves(hashed)
    for start, stride in zip(first.tolist(), step.tolist(), strict=True):
        bits = [
            "get_bit(words, ((%s::bigint + %s::bigint) %% bits)::int) = 1"
            for _ in range(words.HASHES)
        ]
        pairs = [(start, i * stride) for i in range(words.HASHES)]
        clauses.add(
            f"(format <> {words.FORMAT} OR ({' AND '.join(bits)}))",
            *(number for pair in pairs for number in pair),
        )
    return clauses


_SAID = ["exception.type", "exception.message", "exception.stacktrace"]


def text_clauses(text: Text) -> Clauses:
    """A cheap first look at the text, for words of which it is exact.

    A word of ASCII can stand in the body as it is, or as another character that folds
    to it (the Kelvin sign to k, ß to ss), or in what an exception said; the last two
    are for the recheck. "C" folds ASCII alone, whatever the database's locale.
    """
    # CASE: the planner would try each pattern on the column's statistics, which takes
    # longer than to read a chunk.
    clauses = Clauses()
    for word in text.all_words():
        if not word.isascii():
            continue
        inside, whole = f"%{word}%", f"(^|[^a-z0-9]){word}([^a-z0-9]|$)"
        if word.isdigit():  # nothing else folds to a digit
            look = 'l.body COLLATE "C" LIKE %s AND l.body COLLATE "C" ~ %s'
        else:  # the second is asked only where LIKE says yes
            look = (
                'lower(l.body COLLATE "C") LIKE %s AND lower(l.body COLLATE "C") ~ %s'
                " OR octet_length(l.body) <> length(l.body)"
            )
        said = f"CASE WHEN {look} THEN true ELSE l.attributes ?| %s END"
        clauses.add(said, inside, whole, _SAID)
    return clauses


def span_text_clauses(text: Text) -> Clauses:
    """The same of spans; what events say, in JSON, is looked through as it is."""
    clauses = Clauses()
    whole = "concat(l.name, ' ', l.status_message, ' ', l.events)"
    for word in text.all_words():
        if word.isascii():
            clauses.add(
                f'(lower({whole} COLLATE "C") LIKE %s'
                f" OR octet_length({whole}) <> length({whole}))",
                f"%{word}%",
            )
    return clauses


def matches(text: Text, body: str, attributes: dict[str, Any]) -> bool:
    """Whether a line has every word and every phrase; the last word on a search."""
    return holds(text, words.searchable(body, attributes))


def holds(text: Text, said: str) -> bool:
    """Whether *said* has every word and every phrase."""
    found = words.text_words(said)
    have = set(found)
    if not have.issuperset(text.all_words()):
        return False
    return all(_in_a_row(phrase, found) for phrase in text.phrases)


def _in_a_row(phrase: tuple[str, ...], found: list[str]) -> bool:
    size = len(phrase)
    starts = (i for i, word in enumerate(found) if word == phrase[0])
    return any(tuple(found[i : i + size]) == phrase for i in starts)
