"""Counts by anything and over time; which attributes there are, and their values."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fix_lines import Row

from godot_otel import query

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
WINDOW = {"since": "2026-01-01T12:00:00Z", "until": "2026-01-01T13:00:00Z"}


async def ask(reader, *, group_by="", bucket="", fields="", **given):
    filters = query.parse(**{**WINDOW, **given})
    return await query.stats(
        reader, filters, group_by=group_by, bucket=bucket, fields=fields
    )


@pytest.fixture
def hour(lines):
    """An hour: 30 fine lines of api, 6 errors of pay after a quarter."""
    lines.add(
        *(Row(f"served {n}", START + timedelta(minutes=2 * n, seconds=30),
              service="api", version="1.0", attributes={"status": 200, "user": f"u{n}"})
          for n in range(30)),
        *(Row(f"declined {n}", START + timedelta(minutes=15 + n), service="pay",
              version="2.0", environment="eu", severity=17,
              attributes={"status": 402, "card": {"kind": "debit"}},
              resource={"host": f"h{n % 2}"}) for n in range(6)),
    )  # fmt: skip # two kinds


GROUPS = [
    ("service", {"api": 30, "pay": 6}),
    ("level", {"INFO": 30, "ERROR": 6}),
    ("template", {"served <*>": 30, "declined <*>": 6}),
    ("environment", {"prod": 30, "eu": 6}),
    ("version", {"1.0": 30, "2.0": 6}),
    ("status", {"200": 30, "402": 6}),
    ("host", {"(none)": 30, "h0": 3, "h1": 3}),
    ("card", {'{"kind": "debit"}': 6, "(none)": 30}),
    ("service.name", {"api": 30, "pay": 6}),
]


async def test_lines_are_counted_by_anything(hour, reader):
    for group_by, expected in GROUPS:
        counted = await ask(reader, group_by=group_by)
        assert {one.name: one.lines for one in counted.groups} == expected, group_by
        assert counted.levels == {"INFO": 30, "ERROR": 6}
        title = "components" if group_by == "service" else "groups"
        assert len(counted.as_json()[title]) == len(expected)
    for given, expected in (
        ({"search": "declined"}, 6), ({"where": ["status=200"]}, 30),
        ({"version": "2.0"}, 6), ({"level": "WARN"}, 6), ({"component": "a*"}, 30),
        ({"where": ["status>300"], "search": "served"}, 0), ({"logger": "shop.*"}, 36),
    ):  # fmt: skip # filters and how many lines
        counted = await ask(reader, group_by="service", **given)
        assert sum(counted.levels.values()) == expected, given


async def test_counts_over_time_have_every_bucket_the_empty_ones_too(
    hour, reader, store_dsn
):
    with psycopg.connect(store_dsn) as connection:
        connection.execute("TRUNCATE logs")  # the rollups alone answer
    counted = await ask(reader, bucket="5m")
    buckets = counted.histogram.buckets
    assert list(buckets) == [START + timedelta(minutes=5 * n) for n in range(12)]
    assert sum(sum(by.values()) for by in buckets.values()) == 36
    assert buckets[START + timedelta(minutes=15)] == {"INFO": 2, "ERROR": 5}
    assert buckets[START] == {"INFO": 3}
    by_service = await ask(reader, bucket="5m", group_by="service")
    assert by_service.histogram.buckets[START + timedelta(minutes=20)] == {
        "api": 3, "pay": 1,
    }  # fmt: skip # two services
    errors = await ask(reader, bucket="15m", level="ERROR")
    assert list(errors.histogram.buckets.values()) == [{}, {"ERROR": 6}, {}, {}]
    assert (await ask(reader, bucket="auto")).histogram.width == timedelta(minutes=1)
    shaped = errors.as_json()["histogram"]
    assert shaped["bucket"] == "15m"
    assert shaped["buckets"][1] == {
        "start": "2026-01-01T12:15:00Z", "lines": 6, "by": {"ERROR": 6},
    }  # fmt: skip # one bucket


async def test_counts_over_time_of_rows_are_the_same(hour, reader):
    rollups = await ask(reader, bucket="5m")
    rows = await ask(reader, bucket="5m", where=["status exists"])
    words = await ask(reader, bucket="5m", search="served")
    assert rows.histogram == rollups.histogram
    assert rows.notes == ["counted over rows"]
    assert sum(sum(by.values()) for by in words.histogram.buckets.values()) == 30


async def test_attributes_are_counted_in_a_sample_and_how_large_is_said(hour, reader):
    counted = await ask(reader, fields="true")
    assert dict(counted.fields.counts) == {
        "service.name": 36, "status": 36, "user": 30, "card": 6, "host": 6,
    }  # fmt: skip # of record and resource
    assert counted.fields.as_json()["sampled_lines"] == 36
    status = (await ask(reader, fields="status")).fields
    assert status.counts == [("200", 30), ("402", 6)]
    assert (status.lines, status.distinct) == (36, 2)
    users = (await ask(reader, fields="user", search="served")).fields
    assert (users.distinct, users.sampled) == (30, 30)
    assert (await ask(reader, fields="nothing")).fields.counts == []


async def test_what_cannot_be_counted_is_refused_or_named(hour, reader):
    for given, sentence in (
        ({"bucket": "5s"}, "bucket: '5s' is none of 1m, 5m, 1h, 1d, auto"),
        ({"bucket": "0m"}, "bucket: '0m' is none"),
        ({"bucket": "1m", "since": "-7d", "until": ""}, "makes more than 200"),
        ({"group_by": "\0"}, "group_by: a NUL"),
        ({"fields": "x" * 3000}, "fields: longer"),
        ({"trace_id": "4bf92f35"}, "trace_id: counts are not kept"),
    ):
        with pytest.raises(query.FilterError) as refusal:
            await ask(reader, **given)
        assert sentence in str(refusal.value)
    empty = await ask(reader, component="apy", group_by="level")
    assert "did you mean 'pay' or 'api'?" in empty.notes[1]
    assert (await ask(reader, search="nothing")).notes[0] == "counted over rows"
