"""Knows from outside which records a pipeline took on, and what it must have stored.

A record's text follows from its id, so that an altered one is seen; that of a span is
its name, and it tells of one exception, which becomes a line of its own. Processes that
log keep a journal on disk, which outlives them: what they tried, and what
``force_flush`` said that queue or disk hold.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psycopg
from fix_otlp_spans import entry, raised, span
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from godot_otel import queue

POISON = "poison"
"""How a record begins that the store refuses, once ``poisonous`` has seen to it."""


def text(record: str) -> str:
    """The one text of a record; its id is the first word."""
    digest = hashlib.blake2b(record.encode(), digest_size=32).hexdigest()
    return f"{record} {digest * (1 + int(digest[0], 16) // 4)}"


def spans(records: Iterable[str], *, time_ns: int) -> queue.Entry:
    """A batch of spans, one a record."""
    texts = [text(record) for record in records]
    return entry([raised(span(one, time_ns=time_ns), "Oracle", one) for one in texts])


def poisonous(dsn: str) -> None:
    """Let the store refuse poison, as it would a value that no check foresaw."""
    with psycopg.connect(dsn) as connection:
        for table, column in (("logs", "body"), ("spans", "name")):
            connection.execute(
                f"ALTER TABLE {table} ADD CONSTRAINT {POISON}"
                f" CHECK ({column} NOT LIKE '{POISON}%')"
            )


class Journal:
    """What one process tried to log, and what was accepted of it."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._descriptor = os.open(path, flags, 0o600)

    def note(self, what: str, records: Iterable[str]) -> None:
        """Write at once: the process may be killed by the next instruction."""
        lines = "".join(f"{what} {record}\n" for record in records)
        os.write(self._descriptor, lines.encode())

    def tried(self, records: Iterable[str]) -> None:
        self.note("tried", records)

    def accepted(self, records: Iterable[str]) -> None:
        self.note("accepted", records)


class Verdict(NamedTuple):
    """What is wrong; all empty, or something was lost, made up, altered or doubled."""

    missing: tuple[str, ...] = ()
    spurious: tuple[str, ...] = ()
    corrupted: tuple[str, ...] = ()
    duplicated: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    """Spans without the one line of their exception, and such lines without a span."""
    counts: tuple[str, ...] = ()
    """Rollups that do not count what is stored."""


RIGHT = Verdict()


class Oracle:
    """Compares the journals of a folder with a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def journal(self, name: str) -> Journal:
        return Journal(self.folder / f"{name}.journal")

    def records(self, what: str) -> set[str]:
        return {
            record
            for path in self.folder.glob("*.journal")
            for word, _, record in map(_parted, path.read_text().splitlines())
            if word == what
        }

    def stored(self, dsn: str, record: str) -> bool:
        """Whether one record is in the store, as it was."""
        with psycopg.connect(dsn) as connection:
            query = "SELECT FROM logs WHERE body = %s"
            return connection.execute(query, [text(record)]).rowcount == 1

    def verdict(self, dsn: str) -> Verdict:
        stored, dead = _stored(dsn), _dead(dsn)
        found = Counter(map(_id, stored + dead))
        return Verdict(
            missing=tuple(sorted(self.records("accepted") - found.keys())),
            spurious=tuple(sorted(found.keys() - self.records("tried"))),
            corrupted=tuple(
                line[:80]
                for lines, poison in ((stored, False), (dead, True))
                for line in lines
                if line != text(_id(line)) or line.startswith(POISON) != poison
            ),
            duplicated=tuple(record for record, n in found.items() if n > 1),
            exceptions=_unmatched(dsn),
            counts=_miscounted(dsn),
        )


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition(" ")


def _id(line: str) -> str:
    return line.partition(" ")[0]


_OF_SPANS = """coalesce(attributes @> '{"godot.span_event": true}', false)"""


def _stored(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            f"SELECT body FROM logs WHERE NOT {_OF_SPANS}"
            " UNION ALL SELECT name FROM spans"
        )
        return [said for (said,) in found]


def _unmatched(dsn: str) -> tuple[str, ...]:
    lines = f"SELECT body FROM logs WHERE {_OF_SPANS}"
    own = "SELECT 'Oracle: ' || name FROM spans"
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            f"(({own}) EXCEPT ALL ({lines})) UNION ALL (({lines}) EXCEPT ALL ({own}))"
        )
        return tuple(said[:80] for (said,) in found)


_SUMS = {
    "log_counts": ("SELECT count(*) FROM logs", "SELECT sum(n) FROM log_counts"),
    "operation_counts": (
        "SELECT count(*) FROM spans",
        "SELECT sum(n) FROM operation_counts",
    ),
    "trace_index": ("SELECT count(*) FROM spans", "SELECT sum(spans) FROM trace_index"),
    "span_filters": (
        "SELECT count(*) FROM spans",
        "SELECT sum(seq_last - seq_first + 1) FROM span_filters",
    ),
}


def _miscounted(dsn: str) -> tuple[str, ...]:
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return tuple(
            name
            for name, (rows, sums) in _SUMS.items()
            if not connection.execute(
                f"SELECT ({rows}) = coalesce(({sums}), 0)"
            ).fetchone()[0]
        )


def _dead(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        letters = connection.execute("SELECT signal, payload FROM dead_letters")
        by_signal = {"logs": [], "traces": []}
        for signal, payload in letters:
            by_signal[signal].append(payload)
    return [
        record.body.string_value
        for payload in by_signal["logs"]
        for group in ExportLogsServiceRequest.FromString(payload).resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    ] + [
        made.name
        for payload in by_signal["traces"]
        for group in ExportTraceServiceRequest.FromString(payload).resource_spans
        for scope in group.scope_spans
        for made in scope.spans
    ]
