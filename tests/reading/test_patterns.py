"""What kinds of lines there are, exactly, and what is new against before."""

import importlib
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fix_lines import Row

from godot_otel import query, sql

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def ago(**distance: float) -> datetime:
    return datetime.now(UTC) - timedelta(**distance)


async def ask(reader, *, compare_to: str = "", limit: int = 20, **given):
    return await query.patterns(
        reader, query.parse(**given), compare_to=compare_to, limit=limit
    )


def told(found) -> list[tuple[str, int]]:
    return [(one.template, one.lines) for one in found.patterns]


async def test_patterns_come_from_the_rollups_and_are_exact(lines, reader, store_dsn):
    start = ago(minutes=20)
    lines.add(
        *(Row(f"order {n} failed", start + timedelta(seconds=n), severity=17,
              service=f"orders-{n % 2}") for n in range(30)),
        *(Row(f"slow {n}", start, severity=13, service="db") for n in range(10)),
        Row("fine", start),
        Row("order 99 failed", ago(hours=3), severity=17),
    )  # fmt: skip # three kinds
    with psycopg.connect(store_dsn) as connection:
        connection.execute("DELETE FROM logs WHERE body LIKE 'slow%'")  # never scanned
    found = await ask(reader, level="WARN")
    assert told(found) == [("order <*> failed", 30), ("slow <*>", 10)]
    first, second = found.patterns
    assert (first.share, second.share) == (0.75, 0.25)
    assert first.services == {"orders-0", "orders-1"}
    assert first.seen.first == start
    assert first.seen.last == start + timedelta(seconds=29)
    assert first.example.body == "order 29 failed"
    assert second.example is None
    assert first.as_json()["level"] == "ERROR"
    assert (found.lines, found.omitted, found.notes) == (40, 0, [])
    assert told(await ask(reader, component="db", level="WARN")) == [("slow <*>", 10)]
    assert (await ask(reader, limit=1)).omitted == 2


async def test_against_the_window_before_changes_come_first(lines, reader):
    def rows(body, before, now):
        return [
            *(Row(body.format(n), ago(minutes=90)) for n in range(before)),
            *(Row(body.format(n), ago(minutes=30), trace_id=TRACE) for n in range(now)),
        ]

    lines.add(
        *rows("steady {}", 40, 42), *rows("grown {}", 2, 30), *rows("fresh {}", 0, 20),
        *rows("quiet {}", 25, 0), *rows("rarer {}", 24, 6), *rows("once {}", 0, 1),
    )  # fmt: skip # six kinds
    for compare_to in ("previous", "PREVIOUS ", "-1h"):
        found = await ask(reader, compare_to=compare_to)
        assert [(one.template, one.change) for one in found.patterns] == [
            ("grown <*>", "x15"), ("quiet <*>", "gone"), ("fresh <*>", "new"),
            ("rarer <*>", "x0.25"), ("once <*>", "new"), ("steady <*>", ""),
        ]  # fmt: skip # by how many lines more or fewer
        assert found.notes == []
    gone = found.patterns[1].as_json()
    assert (gone["lines"], gone["lines_before"]) == (0, 25)
    assert found.patterns[1].example.body.startswith("quiet")
    assert found.patterns[0].example.trace_id == TRACE


async def test_a_version_is_compared_by_its_share_of_the_traffic(lines, reader):
    old = {"version": "1.4.1", "service": "shop"}
    new = {"version": "1.4.2", "service": "shop"}
    lines.add(
        *(Row(f"served {n}", ago(hours=5, minutes=n), **old) for n in range(40)),
        *(Row(f"retry {n}", ago(hours=5, minutes=n), **old) for n in range(10)),
        *(Row(f"served {n}", ago(minutes=n + 1), **new) for n in range(20)),
        *(Row(f"retry {n}", ago(minutes=n + 1), **new) for n in range(5)),
        *(Row(f"no such column {n}", ago(minutes=9), severity=17, **new)
          for n in range(3)),
    )  # fmt: skip # half the traffic, and an error
    found = await ask(reader, compare_to="version:1.4.1")
    assert [(one.template, one.change) for one in found.patterns] == [
        ("no such column <*>", "new"), ("served <*>", ""), ("retry <*>", ""),
    ]  # fmt: skip # retries are as frequent for half the traffic
    assert "version '1.4.1' in" in found.compared
    assert found.notes == ["counted over rows"]
    errors = await ask(reader, compare_to="version:1.4.1", level="ERROR")
    assert [one.change for one in errors.patterns] == ["new"]


async def test_each_pattern_has_its_newest_line_whichever_hour_that_is_of(
    lines, reader, statements
):
    kinds = [chr(ord("a") + n) * 5 for n in range(23)]
    for hour in (2, 4, 7):
        lines.add(
            *(Row(f"{kind} {hour}", ago(hours=hour + n % 3, minutes=n), severity=17)
              for n, kind in enumerate(kinds) if n % hour == 0)
        )  # fmt: skip # some are newest in each
    statements.clear()
    found = await ask(reader, since="-1d", limit=50)
    assert len(found.patterns) == 12 + 2  # of every second, and two of every seventh
    for one in found.patterns:
        place = kinds.index(one.example.body.split()[0])
        newest = next(hour for hour in (2, 4, 7) if place % hour == 0)
        assert one.example.body == f"{kinds[place]} {newest}"
        assert one.example.time == one.seen.last
    assert len(statements) < len(found.patterns)


ROWS = [
    ({"search": "declined"}, [("card <*> declined", 3)]),
    ({"search": '"card 1"'}, [("card <*> declined", 1)]),
    ({"where": ["plan=pro"]}, [("card <*> declined", 2)]),
    ({"where": ["body~^(card|other)"]}, [("card <*> declined", 3), ("other", 1)]),
    ({"version": "2.0"}, [("other", 1)]),
    ({"logger": "shop*", "component": "pay"}, [("card <*> declined", 3)]),
    ({"search": "declined", "where": ["plan=pro"]}, [("card <*> declined", 2)]),
]


@pytest.mark.parametrize(("given", "expected"), ROWS, ids=lambda v: str(v)[:40])
async def test_what_the_rollups_do_not_hold_is_counted_over_rows(
    lines, reader, given, expected
):
    lines.add(
        *(Row(f"card {n} declined", ago(minutes=n + 1), service="pay",
              attributes={"plan": "pro" if n else "free"}) for n in range(3)),
        Row("other", version="2.0", logger="else"),
        chunk=2,
    )  # fmt: skip # two kinds
    found = await ask(reader, **given)
    assert told(found) == expected
    assert found.notes == ["counted over rows"]
    assert all(one.example for one in found.patterns)


async def test_counting_rows_ends_in_time_and_says_how_far_it_came(
    lines, reader, monkeypatch
):
    counts = importlib.import_module("godot_otel.query.counts")
    monkeypatch.setattr(counts, "TIME_BUDGET", 0.0)
    lines.add(*(Row(f"needle {n}", ago(hours=n)) for n in range(5)))
    for given in ({"search": "needle"}, {"where": ["body~needle"]}):
        found = await ask(reader, since="-1d", **given)
        assert found.lines < 5
        assert len(found.notes) == 1
        assert "counted over rows, newest first, as far as 20" in found.notes[0]


async def test_what_cannot_be_compared_is_refused_and_doubts_are_said(lines, reader):
    lines.add(Row("new here"))
    for given, sentence in (
        ({"compare_to": "yesterday"}, "is none of previous, -1d, version:1.4.2"),
        ({"compare_to": "version:"}, "is none of previous"),
        ({"compare_to": "-30m"}, "nearer than the window is long"),
        ({"compare_to": "version:9"}, "no line of version '9' was found"),
        ({"compare_to": "version:\0"}, "a NUL character"),
        ({"compare_to": "previous", "trace_id": TRACE, "since": "-1h"}, "trace_id:"),
        ({"limit": 101}, "limit: 101 is not within 1 to 100"),
    ):
        with pytest.raises(query.FilterError) as refusal:
            await ask(reader, **given)
        assert sentence in str(refusal.value)
    found = await ask(reader, compare_to="-1d")
    assert "new proves nothing" in found.notes[0]
    empty = await ask(reader, level="ERROR")
    assert "all below this level" in empty.notes[0]
    empty = await ask(reader, search="nothing")
    assert "filtered away" in empty.notes[-1]


async def test_while_rollups_are_compacted_counts_stay_the_same(
    lines, reader, store_dsn
):
    lines.add(*(Row(f"a {n}", ago(minutes=5)) for n in range(20)))
    before = [one.as_json() for one in (await ask(reader)).patterns]
    with psycopg.connect(store_dsn) as connection:
        connection.execute(
            sql.query("compact_counts"), {"since": ago(hours=2), "until": ago(hours=-1)}
        )
        rows = connection.execute("SELECT count(*) FROM log_counts").fetchone()[0]
    assert rows == 1
    after = [one.as_json() for one in (await ask(reader)).patterns]
    for one in before + after:
        one["example"].pop("age")
    assert before == after
