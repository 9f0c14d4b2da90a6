"""Questions to the store: filters become SQL here and nowhere else.

Next station of everything stored; the doors ``cli``, ``mcp`` and ``web`` read through
it. Every answer says its window, whether it was cut, how to go on, and how fresh it is.
"""

from __future__ import annotations

from godot_otel.query.around import around, part_cursor, part_offset
from godot_otel.query.filters import (
    LEVELS,
    Condition,
    FilterError,
    Filters,
    Text,
    parse,
)
from godot_otel.query.follow import MAX_WAIT, follow
from godot_otel.query.freshness import Ingest
from godot_otel.query.line import Line, age, rfc3339
from godot_otel.query.logs import MAX_LIMIT, Page, logs
from godot_otel.query.otlp import Records, otlp
from godot_otel.query.patterns import Pattern, Patterns, patterns
from godot_otel.query.reader import Reader, TooSlowError
from godot_otel.query.stats import Group, Stats, stats
from godot_otel.query.tail import Tail, logs_after, newest_seq
from godot_otel.query.trace import Trace, TraceLines, trace
from godot_otel.query.traces import Traces, last_trace, traces

__all__ = [
    "LEVELS",
    "MAX_LIMIT",
    "MAX_WAIT",
    "Condition",
    "FilterError",
    "Filters",
    "Group",
    "Ingest",
    "Line",
    "Page",
    "Pattern",
    "Patterns",
    "Reader",
    "Records",
    "Stats",
    "Tail",
    "Text",
    "TooSlowError",
    "Trace",
    "TraceLines",
    "Traces",
    "age",
    "around",
    "follow",
    "last_trace",
    "logs",
    "logs_after",
    "newest_seq",
    "otlp",
    "parse",
    "part_cursor",
    "part_offset",
    "patterns",
    "rfc3339",
    "stats",
    "trace",
    "traces",
]
