"""An agent's tail: it waits, misses nothing, repeats nothing, and ends when told."""

import asyncio
import re
import threading
import time

import anyio
import psycopg
import pytest
from fix_lines import Row
from fix_mcp import OneCall, ask, client, refusal

from godot_otel import query

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def made(store_dsn):
    return OneCall(store_dsn)


async def test_it_waits_for_the_first_line_that_matches(lines, reader):
    lines.add(Row("before"))
    wanted = query.parse(search="needle", where=["plan=pro"], default_since="")
    waiting = asyncio.create_task(query.follow(reader, wanted, wait=20))
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await asyncio.to_thread(
        lines.add,
        Row("needle", attributes={"plan": "free"}), Row("hay"),
        Row("a needle", attributes={"plan": "pro"}),
    )  # fmt: skip # three rows
    page = await waiting
    assert [one.body for one in page.lines] == ["a needle"]
    assert time.monotonic() - began < 5
    began = time.monotonic()
    page = await query.follow(reader, wanted, wait=0.6, cursor=page.next_cursor)
    assert page.lines == []
    assert 0.5 < time.monotonic() - began < 3
    assert page.notes == ["no such line was stored within 0.6 s"]
    await asyncio.to_thread(lines.add, Row("needle 2", attributes={"plan": "pro"}))
    page = await query.follow(reader, wanted, wait=5, cursor=page.next_cursor)
    assert [one.body for one in page.lines] == ["needle 2"]


async def test_a_pattern_that_is_none_is_refused_before_there_is_a_line(lines, reader):
    ahead = query.parse(where=["body~["], default_since="")
    with pytest.raises(query.FilterError, match="no regular expression"):
        await query.follow(reader, ahead, wait=1)
    back = query.parse(where=["body~["])
    for asked in (query.logs, query.traces, query.patterns, query.stats):
        with pytest.raises(query.FilterError, match="no regular expression"):
            await asked(reader, back)


async def test_writers_that_commit_out_of_order_are_followed_completely(
    lines, reader, store_dsn
):
    lines.add(Row("0"))
    asked = query.parse(where=["body~."], default_since="")
    first = await query.follow(reader, asked, wait=0)
    with psycopg.connect(store_dsn) as early, psycopg.connect(store_dsn) as late:
        lines.insert(early, (Row("1"), Row("2")))
        lines.insert(late, (Row("3"),))
        late.commit()
        none = await query.follow(reader, asked, wait=0.3, cursor=first.next_cursor)
        assert none.lines == []
        early.commit()
    found, cursor = [], none.next_cursor
    for _ in range(3):
        page = await query.follow(reader, asked, wait=5, limit=1, cursor=cursor)
        found += [one.body for one in page.lines]
        cursor = page.next_cursor
    assert found == ["1", "2", "3"]


async def test_two_writers_at_once_and_every_line_comes_once(lines, reader, store_dsn):
    lines.add(Row("begin"))
    asked = query.parse(search="line", default_since="")
    page = await query.follow(reader, asked, wait=0)

    def write(name: str) -> None:
        with psycopg.connect(store_dsn) as connection:
            for batch in range(12):
                rows = [Row(f"line {name}-{batch}-{n}") for n in range(5)]
                lines.insert(connection, (*rows, Row("noise")), chunk=2)
                time.sleep(0.02 if name == "a" else 0.007)  # they overlap, unevenly
                connection.commit()

    writers = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    found: list[str] = []
    while len(found) < 120:
        page = await query.follow(
            reader, asked, wait=3, limit=7, cursor=page.next_cursor
        )
        assert page.lines, f"{len(found)} of 120 came"
        found += [one.body for one in page.lines]
    for writer in writers:
        writer.join()
    assert len(set(found)) == len(found) == 120
    last = await query.follow(reader, asked, wait=0.3, cursor=page.next_cursor)
    assert last.lines == []
    typo = query.parse(component="ordes", default_since="")
    typed = await query.follow(reader, typo, wait=0)
    assert typed.notes[1] == "no such component: 'ordes', did you mean 'orders'?"


async def test_a_trace_that_is_not_stored_yet_can_be_waited_for(lines, made):
    lines.add(Row("a"))
    text = await ask(made, "logger_query", follow=True, wait_s=0, trace_id=TRACE[:8])
    cursor = re.search(r"next_cursor=(\S+)", text)[1]
    lines.add(Row("other", trace_id="5" * 32), Row("mine", trace_id=TRACE))
    text = await ask(
        made, "logger_query", follow=True, cursor=cursor, trace_id=TRACE[:8]
    )
    assert "rows=1 more=yes next_cursor=" in text
    assert " mine\n" in text
    assert "following what is stored" in text
    for given, sentence in (
        ({"start_time": "-1h"}, "start_time: follow begins now"),
        ({"end_time": "-1m"}, "end_time: follow begins now"),
        ({"wait_s": 31}, "wait_s: Input should be less than or equal to 30"),
        ({"cursor": cursor}, "cursor: it belongs to other filters"),
        ({"cursor": "W10"}, "cursor: not one"),
    ):
        said = await refusal(made, "logger_query", follow=True, **given)
        assert sentence in said


async def test_a_page_of_the_tail_is_cut_at_whole_rows_and_goes_on(lines, made):
    lines.add(Row("a"))
    text = await ask(made, "logger_query", follow=True, wait_s=0)
    lines.add(*(Row(f"<{n:03d}>" + "y" * 500) for n in range(100)))
    found = []
    while len(found) < 100:
        cursor = re.search(r"next_cursor=(\S+)", text)[1]
        text = await ask(
            made, "logger_query", follow=True, cursor=cursor, limit=100, max_chars=600
        )
        assert len(text) <= 40_000
        found += re.findall(r"<(\d{3})>y", text)
    assert found == [f"{n:03d}" for n in range(100)]


async def test_a_cancelled_call_ends_its_waiting_at_once(lines, store_dsn):
    lines.add(Row("a"))
    async with client("memory", "auto", store_dsn) as opened:
        began = time.monotonic()
        with anyio.move_on_after(0.7):
            await opened.call_tool("logger_query", {"follow": True, "wait_s": 30})
        assert time.monotonic() - began < 3
        await asyncio.sleep(0.3)
        with psycopg.connect(store_dsn, autocommit=True) as connection:
            last = connection.execute(
                "SELECT max(query_start) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
            await asyncio.sleep(1)
            later = connection.execute(
                "SELECT max(query_start) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
        assert last == later  # nobody asks any more
