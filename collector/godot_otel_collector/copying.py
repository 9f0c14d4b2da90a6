"""Writes rows by COPY, and finds those that Postgres refuses."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Literal, cast

import psycopg

from godot_otel import fault, store
from godot_otel_collector import columns
from godot_otel_collector.batch import Batch, Rows, SpanRows
from godot_otel_collector.calendar import HOUR
from godot_otel_collector.chunk import Chunk, Packed, hours
from godot_otel_collector.group import Group

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_LATE = 5 * 60_000_000  # microseconds

Family = Literal["data", "partition", "schema", "infrastructure"]


def family(error: psycopg.Error) -> Family:
    """Say what to do about an error, by its SQLSTATE."""
    state = error.sqlstate or ""
    if state == "23514" and not error.diag.constraint_name:
        return "partition"  # "no partition of relation found for row"
    if state[:2] in ("22", "23", "54"):
        return "data"
    if state[:2] in ("42", "3F", "0A"):
        return "schema"
    if not state and isinstance(error, psycopg.DataError):
        return "data"
    return "infrastructure"


async def copy_group(connection: store.Connection, group: Group, seq: int) -> None:
    """Write a group's rows, filters and counts; *seq* is that of its first row."""

    def rows(chunks: list[Chunk]) -> Iterator[bytearray]:
        return (chunk.rows(seq) for chunk in chunks)

    def filters(chunks: list[Chunk]) -> Iterator[bytes]:
        return (chunk.filter(seq) for chunk in chunks)

    if lines := group.chunks:
        await _copy(connection, "logs", columns.LOGS, rows(lines))
        await _copy(connection, "word_filters", columns.FILTERS, filters(lines))
        await _copy(connection, "log_counts", columns.LOG_COUNTS, [group.counts])
        await _note_late(connection, hours(lines))
    if spans := group.spans:
        await _copy(connection, "spans", columns.SPANS, rows(spans))
        await _copy(connection, "span_filters", columns.FILTERS, filters(spans))
        counts = [group.operations]
        await _copy(connection, "operation_counts", columns.OPERATION_COUNTS, counts)
    if group.traces:
        await _copy(connection, "trace_index", columns.TRACE_INDEX, [group.traces])


async def _note_late(connection: store.Connection, hours: Iterable[int]) -> None:
    """Say which hours were over when lines came: they may have been counted already.

    Hours are counted half an hour after their end, so clocks may differ by less.
    """
    now = time.time_ns() // 1000
    late = [hour / 1e6 for hour in hours if hour + HOUR + _LATE < now]
    if late:
        await connection.execute(
            "INSERT INTO late_hours SELECT to_timestamp(unnest(%s::float8[]))", [late]
        )


async def _copy(
    connection: store.Connection,
    table: str,
    names: str,
    pieces: Iterable[bytes | bytearray],
) -> None:
    statement = f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)"
    async with (
        connection.cursor() as cursor,
        cursor.copy(cast(Any, statement)) as copy,
    ):
        await copy.write(HEADER)
        for piece in pieces:
            await copy.write(piece)
        fault.point("mid_copy")
        await copy.write(TRAILER)


async def refused(connection: store.Connection, batch: Batch) -> set[int]:
    """Find the records of which Postgres refuses a row, by ordinal; changes nothing.

    A span is refused with what it tells of exceptions, and they with it.
    """
    bad = await _refused(connection, "logs", columns.LOGS, batch.rows)
    return bad | await _refused(connection, "spans", columns.SPANS, batch.spans)


async def _refused(
    connection: store.Connection, table: str, names: str, rows: Rows | SpanRows
) -> set[int]:
    bad: set[int] = set()
    async with connection.transaction(force_rollback=True):
        halves = [range(len(rows))] if rows else []
        while halves:
            part = halves.pop()
            try:
                async with connection.transaction():
                    packed = Packed(rows.packed[part.start : part.stop])
                    await _copy(connection, table, names, [packed.numbered(0)])
            except psycopg.Error as error:
                if family(error) != "data":
                    raise
                if len(part) == 1:
                    bad.add(rows.ordinals[part.start])
                else:
                    middle = len(part) // 2
                    halves += (part[:middle], part[middle:])
    return bad
