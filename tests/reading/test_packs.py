"""Whatever is asked, the answer is the same of rows and of packs."""

import asyncio
import json
import random
import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from fix_lines import Row, pack
from fix_processes import count
from fix_spans import Span

from godot_otel import query
from godot_otel.cli import main

TRACES = [uuid.UUID(int=n << 100 | n).hex for n in range(1, 41)]
LINES = 3000
QUESTIONS = [
    "query --since 9h --limit 1000",
    "query --since 9h --search timeout --limit 500",
    "query --since 9h --search '\"order 78 failed\"'",
    "query --since 9h --where body~fail.d --limit 300",
    "query --since 9h --where plan=p3 --level ERROR",
    "query --since 9h --where plan!=p3 --where n>900 --limit 200",
    "query --since 9h --where 'region exists' --logger shop.* --service payments",
    "query --since 9h --search timeout --where plan=p1 --version 2.0",
    f"query --trace-id {TRACES[3]}",
    f"query --trace-id {TRACES[4]} --search order",
    f"trace {TRACES[5]}",
    f"trace {TRACES[6][:12]}",
    f"trace {TRACES[7]} --compare {TRACES[8]}",
    "traces --since 9h --search timeout --limit 20",
    "traces --since 9h --where plan=p2 --sort errors",
    "patterns --since 9h --search timeout",
    "patterns --since 9h --compare-to previous",
    "stats --since 9h --group-by plan --bucket 1h",
    "stats --since 9h --where plan=p2 --group-by template",
    "stats --since 9h --search timeout",
    "stats --since 9h --fields true",
]


@pytest.fixture
def filled(lines) -> list[Row]:
    """Lines of the last eight hours, and a few spans."""
    dice = random.Random(7)
    start = datetime.now(UTC) - timedelta(hours=8)
    made = [
        Row(
            (f"order {n} failed", f"timeout after {n} ms", f"paid {n}")[n % 3],
            start + timedelta(seconds=n * 28_000 / LINES, microseconds=n),
            nanos=n % 1000,
            service=dice.choice(["orders", "payments"]),
            logger=dice.choice(["shop.orders", "shop.cart", "root"]),
            version=dice.choice(["1.0", "2.0"]),
            severity=dice.choice([5, 9, 9, 9, 13, 17]),
            trace_id=dice.choice([None, TRACES[n * 40 // LINES]]),
            span_id=dice.choice([None, f"{n + 1:016x}"]),
            attributes=dice.choice(
                [None, {"plan": f"p{n % 5}", "n": n}, {"region": "eu", "n": n / 2}]
            ),
        )
        for n in range(LINES)
    ]
    for number in range(0, LINES, 100):  # a transaction each
        lines.add(*made[number : number + 100])
    spans = (Span("GET /", one, f"{n + 1:016x}", start) for n, one in enumerate(TRACES))
    lines.add_spans(*spans)
    return made


@pytest.fixture
def ask(store_dsn, monkeypatch, capsys):
    monkeypatch.setenv("GODOT_POSTGRES_DSN", store_dsn)

    def run(question: str) -> str:
        status = main([re.sub("'(.*?)'", r"\1", one) for one in words(question)])
        said = capsys.readouterr()
        assert status == 0, said.err
        return settled(said.out)

    return run


def words(question: str) -> list[str]:
    return [*re.findall(r"(?:'[^']*'|\S)+", question), "--json"]


def settled(text: str) -> str:
    """Without what differs from one moment to the next."""
    text = re.sub(r'"age": ?"\w+"|"bytes": \d+', "", text)
    text = re.sub(
        r'"(since|until|sampled_since|ingest)": ?("[^"]*"|\{[^}]*\})', "", text
    )
    return re.sub(r'"(next_cursor)": ?"[^"]*"', r'"\1"', text)


def test_questions_are_answered_alike(filled, store_dsn, ask):
    before = {question: ask(question) for question in QUESTIONS}
    assert not [question for question, said in before.items() if len(said) < 200]
    pack(store_dsn)
    assert count(store_dsn) == 0
    assert {question: ask(question) for question in QUESTIONS} == before


async def test_pages_tail_and_neighbours_are_alike(filled, store_dsn, reader):
    async def pages(**asked: str) -> list[int]:
        found, cursor = [], ""
        while True:
            page = await query.logs(
                reader, query.parse(**asked), limit=170, cursor=cursor
            )
            found += [one.seq for one in page.lines]
            cursor = page.next_cursor or ""
            if not cursor:
                return found

    async def tailed() -> list[int]:
        found, seq = [], 0
        while lines := (tail := await query.logs_after(reader, seq, limit=333)).lines:
            found += [one.seq for one in lines]
            seq = tail.seq
        return found

    async def answers() -> list[object]:
        told = await query.compare(reader, query.parse(trace_id=TRACES[1]), TRACES[2])
        everything = await pages(since="-9h")
        middle = everything[len(everything) // 2]
        traced = query.parse(trace_id=TRACES[9])
        near = await query.around(reader, query.parse(), middle, limit=11)
        return [
            everything,
            await pages(since="-9h", search="timeout"),
            await pages(since="-9h", level="ERROR"),
            [one.seq for one in near.lines],
            await tailed(),
            json.dumps(told.as_json(), default=str),
            json.dumps((await query.otlp(reader, traced)).request),
        ]

    before = await answers()
    assert len(before[0]) == LINES == len(before[4])
    await asyncio.to_thread(pack, store_dsn)
    assert count(store_dsn) == 0
    assert await answers() == before
