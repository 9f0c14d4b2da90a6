"""The queries on the page about SQL and Grafana answer, as the reader asks them."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from fix_incidents import Line, entry, write
from fix_otlp_spans import entry as span_entry
from fix_otlp_spans import span

PAGE = (Path(__file__).parents[2] / "docs/sql.md").read_text()
QUERIES = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TRACE = "21e8dc3b5fdbbab519b083a46e34aab3"  # the page's
GRAFANA = [  # what Grafana makes of its macros
    (r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN now() - interval '1 hour' AND now()"),
    (r"\$__timeFrom\(\)", "now() - interval '1 hour'"),
    (r"\$__timeTo\(\)", "now()"),
    (
        r"\$__timeGroupAlias\((\w+), *'1m'\)",
        r"date_bin('1 minute', \1, 'epoch') AS time",
    ),
    (r"\$service", "shop"),
]


@pytest.fixture
async def filled(store_dsn) -> str:
    now = datetime.now(UTC) - timedelta(minutes=2)
    trace, cart = bytes.fromhex(TRACE), {"cart": "7", "euros": "52"}
    lines = [
        Line(now, 9, "checkout of cart %s started", (7,), trace, cart),
        Line(
            now, 17, "cart %s was not paid: payments answered %s", (7, 402), trace, cart
        ),
    ]
    failed = span(status=2, time_ns=int(now.timestamp() * 1e9))
    await write(
        store_dsn, [[entry("shop", "production", "1.0", lines), span_entry([failed])]],
        [now], now + timedelta(minutes=1),
    )  # fmt: skip # what, and when
    return store_dsn


def test_the_page_has_its_queries():
    assert len(QUERIES) == 11


@pytest.mark.parametrize("number", range(len(QUERIES)))
async def test_a_query_of_the_page_answers(filled, number):
    query = QUERIES[number]
    for macro, meaning in GRAFANA:
        query = re.sub(macro, meaning, query)
    async with await psycopg.AsyncConnection.connect(filled) as connection:
        await connection.execute("SET TRANSACTION READ ONLY")
        rows = await (await connection.execute(query)).fetchall()
    assert rows, query


async def test_the_view_has_the_columns_that_the_page_lists(filled):
    listed = re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE)
    named = {name for cell in listed for name in re.findall(r"`(\w+)`", cell)}
    async with await psycopg.AsyncConnection.connect(filled) as connection:
        cursor = await connection.execute("SELECT * FROM log_lines LIMIT 0")
    assert {column.name for column in cursor.description} == named


async def test_one_trace_is_asked_for_by_what_its_index_holds(filled):
    query = next(one for one in QUERIES if TRACE in one)
    async with await psycopg.AsyncConnection.connect(filled) as connection:
        plan = await (await connection.execute("EXPLAIN " + query)).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert "(trace_id = '21e8dc3b-5fdb-bab5-19b0-83a46e34aab3'::uuid)" in text
    assert "replace" not in text  # as it would be by the view's text
