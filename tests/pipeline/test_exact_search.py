"""Searches give exactly the rows of a full scan, while two collectors store more."""

import random
import threading
from collections import Counter
from pathlib import Path

import psycopg
import pytest
from fix_lines import pack
from fix_otlp import entry
from fix_processes import CollectorProcess, count, wait_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from godot_otel import query, queue, words

LOGHUB = Path(__file__).parents[3] / "shared" / "data" / "loghub"
OWN = [
    "Accepted password for deploy from 10.2.137.15 port 53312 ssh2",
    "Receiving block blk_5142679 src: /10.251.70.211:53132 dest: /10.251.70.5:50010",
    "Straße gesperrt, İstanbul: 300K rows, naïve ﬁn — 日本語 σας",
    "order 81723 of customer 5512 was charged 149 euros, attempt 2 of 3",
]
REGIONS = ("eu-1", "eu-2", "Übersee", "a b", "")
RECORDS, FIRST = 6_000, 1_500

Row = tuple[int, str, dict[str, object]]
"""seq, body and attributes."""


def real_lines() -> list[str]:
    lines = list(OWN)
    for file in sorted(LOGHUB.glob("*_2k.log")):
        lines += file.read_text("utf-8", "replace").splitlines()[::20]
    return lines


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return real_lines()


def scan(dsn: str) -> list[Row]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT seq, body, coalesce(attributes, '{}') FROM logs"
        )
        return rows.fetchall()


def matching(rows: list[Row], search: str, region: str | None) -> Counter[int]:
    """The seq of each row that matches, by looking at every row."""
    wanted = query.parse(search=search).text
    found: Counter[int] = Counter()
    for seq, body, attributes in rows:
        have = words.text_words(words.searchable(body, attributes))
        if not set(wanted.words) <= set(have):
            continue
        if not all(
            any(tuple(have[i : i + len(p)]) == p for i in range(len(have)))
            for p in wanted.phrases
        ):
            continue
        if region is None or attributes.get("region") == region:
            found[seq] += 1
    return found


@st.composite
def searches(draw, lines: list[str]) -> tuple[str, str | None]:
    """Words, a phrase or both of one real line; sometimes a region as well."""
    have = words.text_words(draw(st.sampled_from(lines))) or ["order"]
    start = draw(st.integers(0, len(have) - 1))
    single = draw(st.lists(st.sampled_from(have), max_size=3))
    phrase = " ".join(have[start : start + draw(st.integers(1, 4))])
    search = " ".join([*single, f'"{phrase}"']) if draw(st.booleans()) else phrase
    return search, draw(st.sampled_from([None, None, *REGIONS[:4]]))


async def answer(dsn: str, redis_url: str, search: str, region: str | None):
    where = [] if region is None else [f"region={region}"]
    filters = query.parse(search=search, where=where, since="-2h", until="")
    found: Counter[int] = Counter()
    async with query.Reader(dsn, redis_url) as reader:
        cursor = ""
        while True:
            page = await query.logs(reader, filters, limit=1000, cursor=cursor)
            found.update(line.seq for line in page.lines)
            if not page.next_cursor:
                return found
            cursor = page.next_cursor


@pytest.mark.slow
def test_searches_find_what_a_scan_finds_while_two_collectors_store(
    redis_url, store_dsn, lines, tmp_path
):
    import asyncio

    rng = random.Random(11)
    collectors = [CollectorProcess(tmp_path, redis_url, store_dsn) for _ in range(2)]
    filled = threading.Event()

    def fill() -> None:
        producer = queue.Producer(redis_url)
        for _ in range(RECORDS // 100):
            bodies = [rng.choice(lines) for _ in range(100)]
            region = rng.choice(REGIONS)
            producer.admit(entry(bodies, attributes={"region": region, "n": 7}))
            filled.wait(0.02)  # never set: a pause
        producer.close()

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        wait_until(lambda: count(store_dsn) >= FIRST, "the first rows")
        seen_growing = 0
        for _ in range(5):  # rows come in meanwhile: none of before is missing
            search = rng.choice(words.text_words(rng.choice(lines)) or ["order"])
            before = matching(scan(store_dsn), search, None)
            found = asyncio.run(answer(store_dsn, redis_url, search, None))
            after = matching(scan(store_dsn), search, None)
            assert before <= found <= after, search
            seen_growing += before < after
        thread.join()
        wait_until(lambda: count(store_dsn) == RECORDS, "all rows")
        rows = scan(store_dsn)
        hits = 0

        @settings(
            max_examples=40,
            suppress_health_check=[HealthCheck.function_scoped_fixture],
        )
        @given(searches(lines))
        def same(asked: tuple[str, str | None]) -> None:
            nonlocal hits
            found = asyncio.run(answer(store_dsn, redis_url, *asked))
            assert found == matching(rows, *asked)
            hits += len(found)

        same()
        assert hits > 100
        pack(store_dsn)
        assert count(store_dsn) == 0
        hits = 0
        same()
        assert hits > 100, "the same of lines in packs"
        assert seen_growing, "nothing came in while it was asked"
    finally:
        thread.join()
        for collector in collectors:
            assert collector.stop() == 0
