"""Clearing takes spans with the lines of their time and service, and counts right."""

import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fix_otlp import entry as logged
from fix_otlp_spans import entry, raised, span
from fix_partitions import collecting, run, until

from godot_otel import clear, store
from godot_otel.clear import Choice
from godot_otel.cli import clear as command
from godot_otel.mcp import clearing

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
TRACES = [uuid.UUID(int=n << 100 | 7).bytes for n in range(5)]


@pytest.fixture
async def filled(redis_url, store_dsn, producer) -> str:
    """Spans and lines of two services over three hours, some with exceptions."""
    start = NOW - timedelta(hours=5)
    for n in range(90):
        at = int((start + timedelta(minutes=2 * n, seconds=n % 60)).timestamp() * 1e9)
        service, trace = f"s{n % 2}", TRACES[n % 5]
        failed = 2 * (n % 7 == 0)
        made = span(
            f"work {n % 3}", trace_id=trace, time_ns=at, status=failed,
            milliseconds=n * 1000,  # some end in the next hour
        )  # fmt: skip # one span
        if n % 10 == 0:
            raised(made, "Failed", f"of {n}")
        producer.admit(entry([made], service=service))
        producer.admit(logged([f"line {n}"], service=service, trace_id=trace,
                              time_ns=at))  # fmt: skip # beside it
    async with collecting(redis_url, store_dsn):
        await until(lambda: run(store_dsn, "SELECT count(*) FROM batches") == [(180,)])
    check_sums(store_dsn)
    return store_dsn


def check_sums(dsn: str) -> None:
    """All that is derived from the rows is as if it were made from them now."""
    with psycopg.connect(dsn) as connection:
        for derived, rows in (
            (
                "SELECT minute, service, name, sum(n), sum(errors), sum(duration_ns)"
                " FROM operation_counts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
                "SELECT date_trunc('minute', time, 'UTC'), service, name, count(*),"
                " count(*) FILTER (WHERE status = 2), sum(duration_ns)"
                " FROM spans GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            ),
            (
                "SELECT trace_id, service, sum(lines), sum(errors), sum(spans),"
                " sum(span_errors), min(first), max(last) FROM trace_index"
                " GROUP BY 1, 2 ORDER BY 1, 2",
                "SELECT trace_id, service, sum(line), sum(error), sum(1 - line),"
                " sum(failed), min(time), max(ends) FROM ("
                " SELECT trace_id, service, time, time AS ends, 1 AS line,"
                " (severity >= 17)::int AS error, 0 AS failed FROM logs UNION ALL"
                " SELECT trace_id, service, time,"
                " time + duration_ns / 1000 * interval '1 microsecond', 0, 0,"
                " (status = 2)::int FROM spans) AS found"
                " GROUP BY 1, 2 ORDER BY 1, 2",
            ),
        ):
            assert (
                connection.execute(derived).fetchall()
                == connection.execute(rows).fetchall()
            )


@pytest.mark.parametrize("slice_rows", [3, 20_000])
async def test_spans_go_with_the_lines_of_their_time_and_service(
    filled, monkeypatch, slice_rows
):
    monkeypatch.setattr(clear.tables, "SLICE_ROWS", slice_rows)
    for choice in (
        Choice(NOW - timedelta(hours=4, minutes=31), "s1"),
        Choice(NOW - timedelta(hours=3, minutes=17), level="ERROR"),
        Choice(NOW - timedelta(hours=3, minutes=17)),
        Choice(NOW),
    ):
        meant = (
            "SELECT count(*) FROM spans WHERE time < %s AND (%s = '' OR service = %s)"
            " AND NOT EXISTS (SELECT FROM partitions WHERE parent = 'spans'"
            " AND dropped_at IS NOT NULL AND time >= lower AND time < upper)"
        )
        values = choice.before, choice.component, choice.component
        (spans,) = run(filled, meant, *values)[0]
        (before,) = run(filled, "SELECT count(*) FROM spans")[0]
        gone = 0 if choice.level else spans
        async with await store.connect(filled) as connection:
            counted = await clear.count(connection, choice)
            done = await clear.clear(connection, choice, caller="test")
        assert done.counts == counted
        assert (counted.spans, bool(spans)) == (gone, True)
        waiting = "SELECT count(*) FROM partitions WHERE dropped_at IS NOT NULL"
        if run(filled, waiting) == [(0,)]:
            assert run(filled, "SELECT count(*) FROM spans") == [(before - gone,)]
            check_sums(filled)
    names = "SELECT DISTINCT parent FROM partitions WHERE dropped_at IS NOT NULL"
    assert {("spans",), ("span_filters",), ("operation_counts",)} <= {
        *run(filled, names)
    }, "whole partitions go at once"


async def test_the_command_and_the_tool_name_spans_too(filled):
    choice = Choice(NOW - timedelta(hours=3))
    async with await store.connect(filled) as connection:
        counts = await clear.count(connection, choice)
    assert counts.spans == 60
    shown = clearing._result(choice, counts, deleted=False, token="", note="so")
    assert shown.note == "so; 60 spans of that time go with the lines"
    assert command._counted(counts) == f"{counts.lines} lines and 60 spans"
    only = clear.Counts(spans=1)
    assert (command._counted(only), bool(only)) == ("1 span", True)
