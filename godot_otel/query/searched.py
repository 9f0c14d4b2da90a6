"""The two tables that are searched by words and attributes: lines, and spans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from godot_otel import words
from godot_otel.query.clauses import (
    Clauses,
    row_clauses,
    span_clauses,
    span_text_clauses,
    text_clauses,
)
from godot_otel.query.filters import Filters, Text


@dataclass(frozen=True, slots=True)
class Searched:
    """A table of rows in chunks with word filters, and where its rows have text."""

    table: str
    chunks: str
    """The table of its word filters."""
    columns: str
    """Of a row ``l``, for ``text``."""
    text: Callable[..., str]
    """Make of these columns the text in which a search looks."""
    clauses: Callable[[Filters], Clauses]
    """What a row must fulfil, beside time, trace and text."""
    look: Callable[[Text], Clauses]
    """A first look at the text, as far as SQL can."""

    def words(self, filters: Filters) -> list[str]:
        """Words of *filters*, other than those of a search, that a row must have."""
        if self is not SPANS or not filters.operation:
            return []
        found = words.text_words(filters.operation.removesuffix("*"))
        if filters.operation.endswith("*"):  # the last may go on
            found = found[:-1]
        return list(dict.fromkeys(found))


def _span_text(name: str, message: str | None, events: list[Any] | None) -> str:
    texts = [name, message or ""]
    for event in events or []:
        told = event.get("attributes") or {}
        said = (told.get("exception.type"), told.get("exception.message"))
        is_exception = event.get("name") == "exception"
        texts.append(str(event.get("name", "")))
        texts += (one for one in said if is_exception and isinstance(one, str))
    return "\n".join(texts)


LINES = Searched(
    "logs", "word_filters", "l.body, l.attributes", words.searchable, row_clauses,
    text_clauses,
)  # fmt: skip # one table
SPANS = Searched(
    "spans", "span_filters", "l.name, l.status_message, l.events", _span_text,
    span_clauses, span_text_clauses,
)  # fmt: skip # one table
