"""Spans beside ``Lines``, by plain COPY, as the writer's contract has it."""

import itertools
import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from fix_lines import HOUR, Lines

from godot_otel import durations, words
from godot_otel.query.span import nanoseconds

KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_TIMED = ("spans", "span_filters", "operation_counts")


@dataclass
class Span:
    name: str
    trace_id: str
    span_id: str
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    ms: float = 10.0
    parent: str | None = None
    service: str = "shop"
    kind: str = "internal"
    status: int = 0
    message: str = ""
    environment: str = "prod"
    version: str = "1.0"
    attributes: dict[str, Any] | None = None
    events: list[dict[str, Any]] | None = None
    links: list[dict[str, Any]] | None = None
    scope: str = "tests"
    severity: int = 0  # what Lines' dictionaries ask for
    logger: str = ""
    resource: dict[str, Any] = field(default_factory=dict)

    @property
    def end(self) -> datetime:
        return self.time + timedelta(milliseconds=self.ms)

    def exception(self, type_: str, message: str, at: float = 0.0) -> "Span":
        """With an exception event, *at* milliseconds after its start."""
        when = self.time + timedelta(milliseconds=at)
        told = {"exception.type": type_, "exception.message": message}
        event = {"time": nanoseconds(when), "name": "exception", "attributes": told}
        self.events = [*(self.events or []), event]
        self.status = 2
        return self


def link(trace_id: str, span_id: str = "1" * 16) -> dict[str, str]:
    return {"trace_id": trace_id, "span_id": span_id}


class Spans(Lines):
    """Writes spans, a call a transaction, in chunks that never cross an hour."""

    def add_spans(self, *spans: Span, chunk: int = 1024) -> None:
        with psycopg.connect(self.dsn) as connection:
            for span in spans:
                self._partitions(connection, span.time)
                lower = span.time.replace(minute=0, second=0, microsecond=0)
                for parent in _TIMED:
                    self._partition(connection, parent, lower, lower + HOUR)
            connection.commit()
            (base,) = connection.execute(
                "SELECT (xid_base + pg_current_xact_id()::text::bigint) << 20"
                " FROM settings"
            ).fetchone()
            hour = lambda one: one.time.replace(minute=0, second=0, microsecond=0)  # noqa: E731
            ordinal = 0
            for _, group in itertools.groupby(sorted(spans, key=hour), key=hour):
                part = list(group)
                for start in range(0, len(part), chunk):
                    piece = part[start : start + chunk]
                    self._spans(connection, piece, base + ordinal)
                    ordinal += len(piece)

    def _spans(self, connection, spans, seq) -> None:
        copied = (
            "COPY spans (time, time_nanos, seq, duration_ns, resource_id, scope_id,"
            " trace_id, flags, home, kind, status, span_id, parent_id, environment,"
            " service, name, status_message, attributes, events, links) FROM STDIN"
        )
        rows = [(*self._row(connection, one, seq + n),) for n, one in enumerate(spans)]
        with connection.cursor().copy(copied) as copy:
            for row in rows:
                copy.write_row(row)
        self._filter(connection, spans, seq)
        with connection.cursor().copy("COPY operation_counts FROM STDIN") as copy:
            for one in spans:
                minute = one.time.replace(second=0, microsecond=0)
                ns = int(one.ms * 1e6)
                (bucket,) = durations.buckets([ns]).tolist()
                copy.write_row((
                    minute, 1, int(one.status == 2), ns, bucket,
                    KINDS[one.kind], one.environment, one.service, one.name,
                ))  # fmt: skip
        with connection.cursor().copy(
            "COPY trace_index (first, last, trace_id, lines, errors, service, spans,"
            " span_errors) FROM STDIN"
        ) as copy:
            for one in spans:
                copy.write_row((
                    one.time, one.end, uuid.UUID(one.trace_id), 0, 0, one.service, 1,
                    int(one.status == 2),
                ))  # fmt: skip

    def _row(self, connection, one, seq):
        dumped = (
            json.dumps(each) if each else None
            for each in (one.attributes, one.events, one.links)
        )
        return (
            one.time, 0, seq, int(one.ms * 1e6), self._resource(connection, one),
            self._scope(connection, one.scope), uuid.UUID(one.trace_id), 1, 0,
            KINDS[one.kind], one.status, bytes.fromhex(one.span_id),
            one.parent and bytes.fromhex(one.parent), one.environment, one.service,
            one.name, one.message or None, *dumped,
        )  # fmt: skip

    def _scope(self, connection, name) -> int:
        number = hash(name) & (2**62 - 1)
        if ("scope", number) not in self._made:
            self._made.add(("scope", number))
            connection.execute(
                "INSERT INTO scopes (id, name, version, attributes, schema_url,"
                " dropped_attributes) VALUES (%s, %s, '', '{}', '', 0)",
                [number, name],
            )
        return number

    def _filter(self, connection, spans, seq) -> None:
        found: set[str] = set()
        for one in spans:
            texts = [one.name, one.message]
            for event in one.events or []:
                told = event.get("attributes") or {}
                texts += [event["name"], told.get("exception.type", "")]
                texts.append(told.get("exception.message", ""))
            for text in texts:
                found.update(words.text_words(text))
            for key, value in (one.attributes or {}).items():
                if entry := words.attribute_word(key, value):
                    found.add(entry)
        bits, data = words.word_filter("\0".join(found).encode())
        times = [one.time for one in spans]
        connection.execute(
            "INSERT INTO span_filters VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                min(times), max(times), seq, seq + len(spans) - 1, bits, words.FORMAT,
                data,
            ],
        )  # fmt: skip
