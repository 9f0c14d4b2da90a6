"""A search gives exactly the rows that a scan of every row would give."""

import importlib
import random
from datetime import UTC, datetime, timedelta

import pytest
from fix_lines import Row

from godot_otel import query, words
from godot_otel.query import pace

PIECES = [
    "timeout", "TIMEOUT", "time_out", "Straße", "STRASSE", "strasse", "300K", "300k",
    "300\u212a", "ſein", "sein", "user", "User", "42", "٤٢", "naïve", "nai\u0308ve",
    "İstanbul", "istanbul", "ﬁn", "fin", "日本語", "日本", "a", "b", "x1y2", "%", "_",
    "\\", "'", "order-7", "/var/log", "key=value", "ΣΑΣ", "σας", "ΣΑς", "🙂", "\t",
]  # fmt: skip
SEPARATORS = [" ", " ", " ", "-", "_", ".", "", "\n", "/"]


def text(rng: random.Random, most: int) -> str:
    parts = [
        rng.choice(PIECES) + rng.choice(SEPARATORS) for _ in range(rng.randint(1, most))
    ]
    return "".join(parts)


def brute_force(rows: list[Row], search: str) -> list[str]:
    wanted = query.parse(search=search).text
    found = []
    for row in sorted(rows, key=lambda row: (row.time, row.nanos), reverse=True):
        have = words.text_words(words.searchable(row.body, row.attributes))
        if set(wanted.words) <= set(have) and all(
            any(tuple(have[i : i + len(p)]) == p for i in range(len(have)))
            for p in wanted.phrases
        ):
            found.append(row.body)
    return found


async def test_a_search_finds_exactly_what_a_scan_of_all_rows_finds(lines, reader):
    rng = random.Random(7)
    now = datetime.now(UTC)
    rows = []
    for n in range(600):
        attributes = {"n": n}
        if rng.random() < 0.2:
            attributes["exception.message"] = text(rng, 3)
        rows.append(
            Row(
                text(rng, 6),
                now - timedelta(seconds=rng.random() * 3 * 3600, microseconds=n),
                attributes=attributes,
            )
        )
    for start in range(0, 600, 150):
        lines.add(*rows[start : start + 150], chunk=16)
    found_any = 0
    for _ in range(60):
        search = text(rng, 2)
        if not words.text_words(search):
            continue
        if rng.random() < 0.3:
            search = f'"{search}"'
        filters = query.parse(search=search, since="-1d")
        page = await query.logs(reader, filters, limit=1000)
        assert [one.body for one in page.lines] == brute_force(rows, search), search
        found_any += len(page.lines)
        oldest = await query.logs(reader, filters, limit=1000, order="oldest")
        assert oldest.lines == page.lines[::-1]
    assert found_any > 100


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("search", ["", "even", '"even number"'])
async def test_pages_joined_by_cursors_are_the_whole_result_without_doubles(
    lines, reader, order, search
):
    start = datetime.now(UTC) - timedelta(hours=3)
    # Doubled times, doubled nanoseconds, and chunks that overlap in time.
    rows = [
        Row(
            f"{'even number' if n % 2 == 0 else 'odd'} {n}",
            start + timedelta(minutes=n % 90, microseconds=n % 3),
            nanos=n % 2,
        )
        for n in range(400)
    ]
    for part in range(4):
        lines.add(*rows[part::4], chunk=8)
    filters = query.parse(search=search, since="-1d")
    whole = await query.logs(reader, filters, limit=1000, order=order)
    assert len(whole.lines) == (200 if search else 400)
    assert whole.next_cursor is None
    keys = [(one.time, one.nanos, one.seq) for one in whole.lines]
    assert keys == sorted(keys, reverse=order == "newest")
    found, cursor = [], ""
    while True:
        page = await query.logs(reader, filters, limit=7, order=order, cursor=cursor)
        found += page.lines
        if not page.next_cursor:
            break
        assert len(page.lines) == 7
        cursor = page.next_cursor
    assert found == whole.lines


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_many_partitions_are_searched_by_few_statements(
    lines, reader, statements, order
):
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [n for n in range(1, 31) if n not in (4, 9, 10)]  # those have no partition
    rows = [
        Row(f"{'rare' if (n + m) % 3 else 'else'} {n}",
            start - timedelta(hours=n, minutes=-m))
        for n in hours for m in (5, 20, 35)
    ]  # fmt: skip # three lines an hour
    lines.add(*rows, chunk=2)
    filters = query.parse(search="rare", since="-31h", until="-20m")
    statements.clear()
    whole = await query.logs(reader, filters, limit=1000, order=order)
    assert len(statements) < len(hours)
    expected = brute_force(rows, "rare")
    step = 1 if order == "newest" else -1
    assert [one.body for one in whole.lines] == expected[::step]
    found, cursor = [], ""
    for _ in range(len(expected) // 5 + 1):
        page = await query.logs(reader, filters, limit=5, order=order, cursor=cursor)
        found, cursor = found + page.lines, page.next_cursor
        if not cursor:
            break
    assert found == whole.lines


async def test_a_bit_that_takes_too_long_is_read_in_smaller_ones(
    lines, reader, monkeypatch
):
    narrowed, narrow = [], pace.Pace._narrow

    def counted(self):
        narrowed.append(self)
        return narrow(self)

    monkeypatch.setattr(pace.Pace, "_narrow", counted)
    monkeypatch.setattr(pace.Pace.__init__, "__kwdefaults__", {"longest": 0.004})
    monkeypatch.setattr(pace, "_FIRST_WIDTH", timedelta(hours=1))
    start = datetime.now(UTC).replace(minute=0) - timedelta(hours=2)
    body = "x" * 8000  # slow to be looked through, wherever it ends
    rows = [Row(f"{body}{n}", start + timedelta(seconds=n)) for n in range(200)]
    lines.add(*rows)
    filters = query.parse(where=["body~x1.?$"], since="-1d")
    found, cursor = [], ""
    while True:
        page = await query.logs(reader, filters, limit=500, cursor=cursor)
        found += page.lines
        cursor = page.next_cursor or ""
        if not cursor:
            break
    ends = sorted(int(one.body.strip("x")) for one in found)
    assert ends == [1, *range(10, 20)]
    assert narrowed


async def test_a_search_that_runs_out_of_time_goes_on_by_its_cursor(
    lines, reader, monkeypatch
):
    start = datetime.now(UTC) - timedelta(hours=5)
    rows = [Row(f"needle {n}", start + timedelta(minutes=n)) for n in range(280)]
    lines.add(*rows, chunk=8)
    logs = importlib.import_module("godot_otel.query.walk")
    monkeypatch.setattr(logs, "TIME_BUDGET", 0.0)
    monkeypatch.setattr(pace, "_FIRST_WIDTH", timedelta(minutes=1))  # an answer each
    for search, where in (("needle", []), ("", []), ("", ["body~ee?dle"])):
        for order in ("newest", "oldest"):
            filters = query.parse(search=search, where=where, since="-1d")
            found, cursor, pages = [], "", 0
            while True:
                page = await query.logs(
                    reader, filters, limit=500, order=order, cursor=cursor
                )
                found += page.lines
                pages += 1
                if not page.next_cursor:
                    break
                assert page.searched_to is not None
                cursor = page.next_cursor
            assert pages > 4
            bodies = [row.body for row in rows]
            expected = bodies[::-1] if order == "newest" else bodies
            assert [one.body for one in found] == expected


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_it_goes_on_also_where_many_chunks_are_of_one_microsecond(
    order, lines, reader, monkeypatch
):
    moment = datetime.now(UTC) - timedelta(hours=5)
    lines.add(*(Row(f"needle {n}", moment) for n in range(60)), chunk=1)
    lines.add(Row("needle before", moment - timedelta(hours=2)))
    lines.add(Row("needle after", moment + timedelta(hours=2)))
    walk = importlib.import_module("godot_otel.query.walk")
    monkeypatch.setattr(walk, "TIME_BUDGET", 0.0)
    filters = query.parse(search="needle", since="-1d")
    found, cursor = [], ""
    for _ in range(20):
        page = await query.logs(reader, filters, limit=500, order=order, cursor=cursor)
        found += page.lines
        if not (cursor := page.next_cursor or ""):
            break
    assert not cursor, "it never ends"
    assert len({one.seq for one in found}) == len(found) == 62


WHERE = [
    (["plan=pro"], {0, 3}),
    (["plan!=pro"], {1, 2, 4, 5}),
    (["plan exists"], {0, 1, 3}),
    (["plan~^(pro|free)$"], {0, 1, 3}),
    (["n>1"], {2, 3, 5}),
    (["n<=2"], {0, 1, 2, 5}),
    (["n=2"], {2}),
    (["n=1.5"], {5}),
    (["ok=true"], {4}),
    (["region=eu"], {0, 1, 2, 4}),  # 3 has its own, the resource of 5 has another
    (["region=us"], {3}),
    (["region!=eu"], {3, 5}),
    (["plan=pro", "region=eu"], {0}),
    (["tag=a=b"], {5}),
    (["nested~inner"], {4}),
    (["nothing=here"], set()),
    (["body~^[12]$"], {1, 2}),
    (["body=3"], {3}),
    (["body!=3", "region=us"], set()),
]


@pytest.mark.parametrize(("where", "expected"), WHERE, ids=lambda v: str(v))
async def test_where_asks_attributes_of_records_then_of_resources(
    lines, reader, where, expected
):
    eu, other = {"region": "eu"}, {"region": "ap"}
    lines.add(
        Row("0", attributes={"plan": "pro", "n": 0}, resource=eu),
        Row("1", attributes={"plan": "free", "n": 1}, resource=eu),
        Row("2", attributes={"n": 2}, resource=eu),
        Row("3", attributes={"plan": "pro", "n": 3, "region": "us"}, resource=eu),
        Row("4", attributes={"ok": True, "nested": {"inner": 1}}, resource=eu),
        Row("5", attributes={"n": 1.5, "tag": "a=b"}, resource=other),
    )
    page = await query.logs(reader, query.parse(where=where))
    assert {int(one.body) for one in page.lines} == expected
