"""Traces are found by any filter, in each order, page by page, none twice."""

import importlib
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fix_lines import Row

from godot_otel import query

NOW = datetime.now(UTC)


def at(minutes: float, seconds: float = 0.0) -> datetime:
    return NOW - timedelta(minutes=minutes) + timedelta(seconds=seconds)


def trace_id(number: int) -> str:
    return f"{number:08x}{'0' * 23}{number % 10}"


async def pages(reader, *, limit: int = 3, filters=None, **options) -> list[str]:
    """The ids of all pages joined by their cursors."""
    filters = filters or query.parse(since="-2h")
    found, cursor = [], ""
    while True:
        page = await query.traces(
            reader, filters, limit=limit, cursor=cursor, **options
        )
        found += [one.id for one in page.traces]
        assert len(page.cursors) == len(page.traces)
        if not page.next_cursor:
            return found
        cursor = page.next_cursor


@pytest.fixture
def twelve(lines):
    """Twelve traces, a minute apart, the last the newest; the odd ones are slow."""
    for number in range(12):
        start, one = at(60 - number), trace_id(number)
        lines.add(
            Row(f"request {number}", start, service="api", trace_id=one,
                version=f"1.{number % 2}", attributes={"plan": f"p{number % 3}"}),
            Row("charging", start + timedelta(seconds=1 + number % 2 * (20 + number)),
                service="pay", trace_id=one, severity=13 if number % 4 else 17,
                attributes={"exception.type": "Declined", "exception.message": "no"}),
            Row(f"done {number}", start + timedelta(seconds=0.5), service="api",
                trace_id=one),
        )  # fmt: skip # three rows
    return [trace_id(number) for number in range(12)]


FOUND = [
    ({}, range(12)),
    ({"component": "pay"}, range(12)),
    ({"component": "shop"}, []),
    ({"level": "ERROR"}, [0, 4, 8]),
    ({"level": "WARN"}, range(12)),
    ({"level": "ERROR", "component": "api"}, []),
    ({"search": "request 7"}, [7]),
    ({"search": "charging"}, range(12)),
    ({"where": ["plan=p1"]}, [1, 4, 7, 10]),
    ({"where": ["body~^done .$"]}, range(10)),
    ({"version": "1.1", "component": "api"}, [1, 3, 5, 7, 9, 11]),
    ({"search": "charging", "level": "ERROR"}, [0, 4, 8]),
    ({"logger": "shop.*", "environment": "prod"}, range(12)),
]


async def test_each_filter_finds_its_traces_over_pages_each_once(twelve, reader):
    for given, numbers in FOUND:
        filters = query.parse(since="-2h", **given)
        expected = {twelve[number] for number in numbers}
        found = await pages(reader, filters=filters)
        assert (set(found), len(found)) == (expected, len(expected)), given
        assert found in (sorted(found, reverse=True), _by_last(found))
        ranked = await pages(reader, filters=filters, sort="slowest")
        assert set(ranked) == expected, given
        assert ranked == sorted(ranked, key=_duration, reverse=True)
        failed = await pages(reader, filters=filters, sort="errors")
        own = {twelve[0], twelve[4], twelve[8]}  # those that pay failed in
        if given.get("component", "pay") == "pay" or "version" in given:
            assert set(failed) == expected & own, given
        else:
            assert failed == []


def _number(one: str) -> int:
    return int(one[:8], 16)


def _duration(one: str) -> float:
    number = _number(one)
    return 1 + number % 2 * (20 + number)


def _by_last(ids: list[str]) -> list[str]:
    """By their newest line, which of a slow one is later."""
    return sorted(ids, key=lambda one: 60 * _number(one) + _duration(one), reverse=True)


async def test_short_ones_are_left_out_and_failures_are_told(twelve, reader):
    slow = [twelve[number] for number in (11, 9, 7, 5, 3, 1)]
    for given in ({}, {"where": ["plan exists"]}):
        filters = query.parse(since="-2h", **given)
        found = await pages(reader, filters=filters, min_duration_ms=21_000)
        assert found == slow
        found = await pages(
            reader, filters=filters, min_duration_ms=21_000, sort="slowest"
        )
        assert found == slow
    page = await query.traces(reader, query.parse(since="-2h"), sort="errors")
    assert [one.id for one in page.traces] == [twelve[8], twelve[4], twelve[0]]
    first = page.traces[0]
    assert (first.first_error.body, first.first_error.failure) == (
        "charging", "Declined: no",
    )  # fmt: skip # body and exception
    assert first.as_json()["first_error"]["service"] == "pay"
    assert first.duration == timedelta(seconds=1)
    assert (first.lines, first.errors) == (3, 1)


async def test_a_cursor_belongs_to_its_filters_sort_and_duration(twelve, reader):
    page = await query.traces(reader, query.parse(since="-2h"), limit=2)
    for filters, options in (
        (query.parse(since="-2h", search="request"), {}),
        (query.parse(since="-2h"), {"sort": "slowest"}),
        (query.parse(since="-2h"), {"min_duration_ms": 5}),
    ):
        with pytest.raises(query.FilterError, match="other filters"):
            await query.traces(reader, filters, cursor=page.next_cursor, **options)
    for options, sentence in (
        ({"sort": "best"}, "sort: 'best' is none of recent, slowest, errors"),
        ({"min_duration_ms": -1}, "min_duration_ms"),
        ({"limit": 201}, "limit: 201"),
    ):
        with pytest.raises(query.FilterError, match=sentence):
            await query.traces(reader, query.parse(), **options)
    with pytest.raises(query.FilterError, match="trace_id: traces are not found"):
        await query.traces(reader, query.parse(trace_id=twelve[0]))


async def test_traces_whose_newest_lines_are_of_one_moment_are_all_found(lines, reader):
    when = at(5)
    lines.add(*(Row("same", when, trace_id=trace_id(n)) for n in range(9)))
    expected = sorted((trace_id(n) for n in range(9)), reverse=True)
    for given in ({}, {"search": "same"}, {"where": ["body~same"]}):
        filters = query.parse(since="-2h", **given)
        assert await pages(reader, filters=filters, limit=2) == expected


@pytest.mark.slow
async def test_a_search_that_runs_out_of_time_goes_on_and_shows_none_twice(
    lines, reader, monkeypatch
):
    for name in ("counts", "trace_lines", "trace_search"):
        module = importlib.import_module(f"godot_otel.query.{name}")
        monkeypatch.setattr(module, "TIME_BUDGET", 0.0)
    ids = [trace_id(number) for number in range(10)]
    # each has lines in two hours, the newer ones of one moment with the next one's
    for number, one in enumerate(ids):
        lines.add(
            Row("needle", at(320 - number * 30), trace_id=one),
            Row("needle", at(290 - number * 30), trace_id=one),
        )
    for given in ({"search": "needle"}, {"where": ["body~ee?dle"]}, {}):
        filters = query.parse(since="-1d", **given)
        assert await pages(reader, filters=filters) == ids[::-1]


async def test_an_index_row_of_before_the_window_still_lengthens_its_trace(
    lines, reader, store_dsn
):
    one, now = trace_id(1), datetime.now(UTC)
    before, within = now - timedelta(minutes=70), now - timedelta(minutes=50)
    lines.add(Row("a", before, trace_id=one), Row("b", within, trace_id=one))
    lines.add(Row("c", within, trace_id=trace_id(2)))
    filters = query.parse()
    found = await query.traces(reader, filters, sort="slowest", min_duration_ms=1)
    assert [(each.id, each.duration) for each in found.traces] == [
        (one, timedelta(minutes=20))
    ]
    with psycopg.connect(store_dsn) as connection:
        connection.execute("TRUNCATE logs")  # the index alone answers
    assert len((await query.traces(reader, filters, sort="slowest")).traces) == 2
