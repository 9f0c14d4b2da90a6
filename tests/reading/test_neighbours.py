"""A line amid what the same instance wrote, and a long line whole."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from fix_lines import Row
from fix_mcp import OneCall, ask, refusal

from godot_otel import query

START = datetime.now(UTC) - timedelta(hours=5)


@pytest.fixture
def made(store_dsn):
    return OneCall(store_dsn)


async def seq_of(reader, **given) -> int:
    page = await query.logs(reader, query.parse(since="-1d", **given), limit=1)
    return page.lines[0].seq


async def test_neighbours_are_of_the_same_instance_in_time_order(lines, reader):
    mine, other = {"service.instance.id": "a"}, {"service.instance.id": "b"}
    rows = [
        Row(f"mine {n}", START + timedelta(minutes=20 * n), resource=mine)
        for n in range(12)
    ]
    lines.add(*rows[6:], *(Row("other", row.time, resource=other) for row in rows))
    lines.add(*rows[:6])  # these came late
    seq = await seq_of(reader, search='"mine 5"')
    everything = query.parse(default_since="")
    for limit, expected in (
        (1, [5]),
        (2, [4, 5]),
        (5, [3, 4, 5, 6, 7]),
        (100, range(12)),
    ):
        page = await query.around(reader, everything, seq, limit=limit)
        assert [one.body for one in page.lines] == [f"mine {n}" for n in expected]
        assert page.next_cursor is None
    filtered = query.parse(where=["body~[27]$"], default_since="")
    page = await query.around(reader, filtered, seq, limit=9)
    assert [one.body for one in page.lines] == ["mine 2", "mine 5", "mine 7"]
    for wrong in (seq + 10**6, 2**62, 2**63, -1):
        with pytest.raises(query.FilterError, match="around: "):
            await query.around(reader, everything, wrong)


async def test_an_agent_sees_the_lines_around_one_that_it_was_shown(lines, made):
    lines.add(*(Row(f"step {n}", START + timedelta(seconds=n)) for n in range(9)))
    text = await ask(made, "logger_query", search='"step 4"', start_time="-1d")
    seq = int(re.search(r"#(\d+) step 4", text)[1])
    text = await ask(made, "logger_query", around=seq, limit=3)
    assert re.findall(r"step \d", text) == ["step 3", "step 4", "step 5"]
    assert "rows=3 more=no" in text
    said = await refusal(made, "logger_query", around=seq, cursor="x")
    assert "cursor: around has none" in said
    said = await refusal(made, "logger_query", around=seq, follow=True)
    assert "around: not together with follow" in said


async def test_a_long_line_is_fetched_whole_in_parts(lines, made, reader):
    body = "".join(f"<{n:05d}>" for n in range(9000))  # 63,000 characters
    lines.add(Row(body, START), Row("next", START + timedelta(seconds=1)))
    text = await ask(made, "logger_query", start_time="-1d", end_time="-1h")
    seq = await seq_of(reader, search="00000")
    assert "... [+62700 chars]" in text
    assert f"A line whole: logger_query(around={seq}, limit=1)" in text
    found, cursor = "", ""
    while True:
        text = await ask(made, "logger_query", around=seq, limit=1, cursor=cursor)
        assert len(text) <= 40_000
        found += text.splitlines()[2]
        if "next_cursor=" not in text:
            break
        cursor = text.rpartition("next_cursor=")[2]
    assert found.endswith(f"#{seq} {body}")
    other = await seq_of(reader, search="next")
    said = await refusal(made, "logger_query", around=other, limit=1, cursor=cursor)
    assert "cursor: it belongs to other filters" in said


async def test_what_is_cut_around_a_line_is_what_is_farthest_from_it(lines, made):
    lines.add(
        *(Row(f"<{n:02d}>" + "y" * 5000, START + timedelta(seconds=n))
          for n in range(21))
    )  # fmt: skip # 105,000 characters
    text = await ask(made, "logger_query", search="10", start_time="-1d")
    seq = int(re.search(r"#(\d+) <10>", text)[1])
    text = await ask(made, "logger_query", around=seq, limit=21, max_chars=6000)
    found = re.findall(r"<(\d\d)>y", text)
    assert len(text) <= 40_000
    assert found == sorted(found)
    assert found[0] in ("07", "06")
    assert "10" in found
    assert "more=yes (cut at whole rows" in text


async def test_a_line_of_long_parts_does_not_push_itself_out(lines, made):
    failed = {
        "a": "b" * 30_000, "exception.type": "E", "exception.message": "m" * 30_000,
        "exception.stacktrace": "s" * 30_000,
    }  # fmt: skip # each part may be long
    lines.add(Row("x" * 60_000, attributes=failed), Row("second"))
    text = await ask(made, "logger_query", max_chars=10_000)
    assert len(text) <= 40_000
    assert "rows=2" in text or "rows=1 more=yes" in text
    assert "x" * 10_000 in text or "second" in text
