"""Days are counted by their hours, and never otherwise than by their minutes."""

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import psycopg
from fix_lines import HOUR, Lines, Row
from fix_otlp_spans import entry, span
from fix_partitions import ago, collecting, late, run, until
from fix_processes import count

from godot_otel import clear, query, store
from godot_otel.clear import Choice
from godot_otel.query.counts import count as counted
from godot_otel_collector.closing import Closing
from godot_otel_collector.hours import Hours
from godot_otel_collector.retention import Retention

_SCAN = """
SELECT date_bin(%(bucket)s, time, 'epoch'), service, severity, template_id, count(*)
FROM logs
WHERE time >= date_trunc('minute', %(since)s) AND time < %(until)s
GROUP BY 1, 2, 3, 4
"""


def hour(back: int) -> datetime:
    return ago(hours=back).replace(minute=0, second=0, microsecond=0)


def some(number: int) -> list[Row]:
    """Lines of two days, many of an hour."""
    dice = random.Random(number)
    return [
        Row(
            f"{dice.choice(['paid', 'failed', 'retried'])} {n}",
            ago(hours=dice.choice([0, 1, 5, 6, 30, 40]), minutes=dice.random() * 59),
            service=f"s{n % 3}",
            severity=dice.choice([9, 17]),
        )
        for n in range(number)
    ]


def noted(dsn: str) -> list[tuple]:
    """Notes of hours that are counted; of the last one it may be too early."""
    return run(dsn, "SELECT * FROM late_hours WHERE hour < %s", hour(2))


async def answered(
    dsn: str, since: datetime, before: datetime, bucket: timedelta, *by: str
) -> dict:
    async with await store.connect(dsn) as connection:
        found = await counted(
            connection,
            query.parse(),
            by or ("service", "level", "template"),
            since=since,
            until=before,
            bucket=bucket,
        )
    return {key: one.lines for key, one in found.groups.items()}


async def check(dsn: str) -> None:
    """Every window is counted as its rows are."""
    now = ago(seconds=-1)
    for since, before, bucket in [
        (ago(days=3), now, timedelta(days=1)),
        (ago(hours=41), now, HOUR),
        (ago(hours=31).replace(second=0, microsecond=0), hour(5), 2 * HOUR),
        (hour(6), hour(5), HOUR),
        (ago(hours=7), now, timedelta(minutes=15)),
        (ago(minutes=50), now, HOUR),
    ]:
        values: dict[str, Any] = {"since": since, "until": before, "bucket": bucket}
        with psycopg.connect(dsn) as connection:
            rows = connection.execute(_SCAN, values).fetchall()
        found = await answered(dsn, since, before, bucket)
        assert found == {tuple(row[:-1]): row[-1] for row in rows}, (since, bucket)
        services: Counter[tuple] = Counter()
        for row in rows:
            services[row[:2]] += row[-1]
        assert await answered(dsn, since, before, bucket, "service") == services


async def test_hours_are_counted_once_and_answer_for_their_minutes(store_dsn, owner):
    lines = Lines(store_dsn)
    lines.add(*some(600))
    await check(store_dsn)
    await Hours().run(owner)
    await check(store_dsn)
    made = run(store_dsn, "SELECT hour, counted_at FROM counted_hours ORDER BY hour")
    assert len(made) >= 3
    await Hours().run(owner)
    assert run(store_dsn, "SELECT * FROM counted_hours ORDER BY hour") == made
    assert not noted(store_dsn)
    window = hour(50), ago(seconds=-1), HOUR
    before = await answered(store_dsn, *window)
    run(store_dsn, "DELETE FROM log_counts WHERE minute < %s", hour(4))
    assert await answered(store_dsn, *window) == before, "nothing reads minutes"


async def test_what_comes_late_is_counted_at_once_and_anew(store_dsn, owner):
    lines = Lines(store_dsn)
    lines.add(*some(100))
    await Hours().run(owner)
    lines.add(Row("late", hour(6), service="s1"), Row("later", ago(hours=40.5)))
    await check(store_dsn)
    await Hours().run(owner)
    await check(store_dsn)
    assert not noted(store_dsn)


async def test_what_a_collector_did_not_note_is_counted_once_it_is_closed(
    store_dsn, owner
):
    lines = Lines(store_dsn)
    lines.add(*some(100))
    await Closing().run(owner)
    await Hours().run(owner)
    lines.add(Row("of a release that knows no notes", hour(6)))
    run(store_dsn, "DELETE FROM late_hours")
    run(store_dsn, "UPDATE partitions SET closed_at = NULL")  # as rows after it do
    await Closing().run(owner)
    await Hours().run(owner)
    await check(store_dsn)


async def test_rows_that_are_committed_while_an_hour_is_counted_are_not_lost(
    store_dsn, owner
):
    lines = Lines(store_dsn)
    lines.add(Row("first", hour(6)))
    with psycopg.connect(store_dsn) as connection:
        lines.insert(connection, (Row("meanwhile", hour(6)),))
        await Hours().run(owner)
        connection.commit()
    await check(store_dsn)
    await Hours().run(owner)
    await check(store_dsn)
    sums = "(SELECT sum(n) FROM log_hours), (SELECT sum(n) FROM template_hours)"
    assert run(store_dsn, f"SELECT {sums}") == [(2, 2)]


async def test_a_collector_notes_the_hours_of_what_comes_late(
    redis_url, store_dsn, owner, producer
):
    producer.admit(late("late", hours=30))
    producer.admit(late("now", hours=0))
    span_time = int(ago(hours=20).timestamp() * 1e9)
    producer.admit(entry([span(time_ns=span_time)]))
    async with collecting(redis_url, store_dsn):
        await until(lambda: count(store_dsn) == 4)
    then = hour(30)
    notes = {row[0] for row in run(store_dsn, "SELECT hour FROM late_hours")}
    counted_since = {row[0] for row in run(store_dsn, "SELECT hour FROM counted_hours")}
    assert notes | counted_since >= {then}
    assert notes.isdisjoint({hour(0), hour(20)})  # spans are not counted by hour
    await check(store_dsn)


async def test_cleared_lines_are_gone_from_their_hours(store_dsn, owner):
    lines = Lines(store_dsn)
    lines.add(*some(300))
    await Hours().run(owner)
    async with await store.connect(store_dsn) as connection:
        await clear.clear(connection, Choice(hour(3), component="s1"), caller="test")
    await check(store_dsn)
    await Hours().run(owner)
    await check(store_dsn)


async def test_hours_of_dropped_partitions_are_neither_read_nor_kept(
    store_dsn, source, owner
):
    lines = Lines(store_dsn)
    lines.add(Row("old", hour(30)), Row("new"))
    await Hours().run(owner)
    await store.migrate(store_dsn, retention_bytes=1)
    await Retention(source).run(owner)
    await check(store_dsn)
    await store.migrate(store_dsn, retention_bytes=0)
    lines._made.clear()  # the partition is made anew
    with psycopg.connect(store_dsn) as connection:
        for parent in ("logs", "word_filters", "log_counts"):
            lines._partition(connection, parent, hour(30), hour(29))
        lines.insert(connection, (Row("again", hour(30)),))
        connection.execute("DELETE FROM late_hours")
    await check(store_dsn)
    run(store_dsn, "UPDATE partitions SET lower = %s WHERE parent = 'log_counts'"
                   " AND lower < %s", hour(2), hour(3))  # fmt: skip
    await Hours().run(owner)
    assert run(
        store_dsn, "SELECT count(*) FROM log_hours WHERE hour < %s", hour(3)
    ) == [(0,)]
