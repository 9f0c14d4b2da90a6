"""Questions to the store: filters become SQL here and nowhere else.

Next station of everything stored; the doors ``cli``, ``mcp`` and ``web`` read through
it. Every answer says its window, whether it was cut, how to go on, and how fresh it is.
"""

from __future__ import annotations

from godot_otel.query.around import around, part_cursor, part_offset
from godot_otel.query.compare import compare
from godot_otel.query.difference import Difference, Differs, Kind
from godot_otel.query.failing import failing
from godot_otel.query.filters import (
    LEVELS,
    FilterError,
    Filters,
    Text,
    parse,
)
from godot_otel.query.follow import (
    MAX_WAIT,
    POLL_INTERVAL,
    follow,
    follow_cursor,
    follow_from,
)
from godot_otel.query.freshness import Ingest
from godot_otel.query.line import Line, age, rfc3339
from godot_otel.query.linked import Linked
from godot_otel.query.logs import MAX_LIMIT, Page, logs
from godot_otel.query.otlp import Records, otlp
from godot_otel.query.outline import Outline, Row, outline
from godot_otel.query.pattern import Pattern
from godot_otel.query.patterns import Patterns, patterns
from godot_otel.query.reader import Reader, TooSlowError
from godot_otel.query.root import Root
from godot_otel.query.span import Span, nanoseconds
from godot_otel.query.stats import Group, Stats, stats
from godot_otel.query.tail import Tail, logs_after
from godot_otel.query.trace import Trace, TraceLines, trace
from godot_otel.query.traces import Traces, last_trace, traces
from godot_otel.query.tree import Node, Tree, build

__all__ = [
    "LEVELS",
    "MAX_LIMIT",
    "MAX_WAIT",
    "POLL_INTERVAL",
    "Difference",
    "Differs",
    "FilterError",
    "Filters",
    "Group",
    "Ingest",
    "Kind",
    "Line",
    "Linked",
    "Node",
    "Outline",
    "Page",
    "Pattern",
    "Patterns",
    "Reader",
    "Records",
    "Root",
    "Row",
    "Span",
    "Stats",
    "Tail",
    "Text",
    "TooSlowError",
    "Trace",
    "TraceLines",
    "Traces",
    "Tree",
    "age",
    "around",
    "build",
    "compare",
    "failing",
    "follow",
    "follow_cursor",
    "follow_from",
    "last_trace",
    "logs",
    "logs_after",
    "nanoseconds",
    "otlp",
    "outline",
    "parse",
    "part_cursor",
    "part_offset",
    "patterns",
    "rfc3339",
    "stats",
    "trace",
    "traces",
]
