"""The page for agents shows what the tools say today; ``--update`` writes it anew."""

import json
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fix_incidents import Line, entry, write
from fix_processes import application
from mcp import Client

from godot_otel import query
from godot_otel.access import SCOPES
from godot_otel.mcp import server
from godot_otel.mcp.authority import Authority

PAGE = Path(__file__).parents[2] / "docs/agents.md"
EXAMPLE = re.compile(
    r"^### (\w+)\n.*?^```json\n(.*?)^```\n\n```text\n(.*?)^```$", re.M | re.S
)
"""A tool, its arguments and its answer."""
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
RUN = [
    (r"id=[0-9a-f]{8}\b", "id=MARK"),
    (r"#\d+", "#SEQ"),
    (r"(next_cursor=|\"next_cursor\": ?\")[\w.=-]+", r"\1CURSOR"),
    (r"(\"(?:bytes|seq|age|capacity|partitions|oldest_lag_s)\": ?)[\d.]+", r"\1NUMBER"),
    (r"(\"(?:confirm_token|trace_id)\": ?\")[^\"]+", r"\1TOKEN"),
    (r"(?!2026-10-01)\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
]
"""What is another in each run."""


async def fill(dsn: str) -> None:
    """Twenty requests through three services; since 12:05 those of eu-2 fail."""
    rng = random.Random(7)
    lines: dict[str, list[Line]] = {"shop": [], "orders": [], "payments": []}
    for number in range(20):
        time = NOON + timedelta(seconds=30 * number)
        region, trace_id = f"eu-{number % 3}", rng.randbytes(16)
        failed = number >= 10 and region == "eu-2"

        def said(service: str, ms: int, severity: int, template: str, *values: object):
            at = time + timedelta(milliseconds=ms)  # noqa: B023 # called at once
            attributes = {"region": region}  # noqa: B023
            line = Line(at, severity, template, values, trace_id, attributes)  # noqa: B023
            lines[service].append(line)

        said("shop", 0, 9, "checkout of cart %d begins", number)
        said("orders", 4, 9, "order for cart %d made", number)
        said("payments", 9, 9, "charging %d euros", 10 + number)
        if failed:
            bank = f"bank-{region}.example"
            said("payments", 61, 17, "certificate of %s expired %d days ago", bank, 1)
            said("orders", 64, 17, "payments answered %d", 502)
            said("shop", 70, 17, "checkout of cart %d failed", number)
        else:
            said("shop", 40, 9, "checkout of cart %d done", number)
    entries = [entry(one, "production", "1.4.2", found) for one, found in lines.items()]
    await write(dsn, [entries], [NOON], NOON + timedelta(minutes=10))


async def answers(dsn: str, redis_url: str, calls: list[tuple[str, str]]) -> list[str]:
    """What the tools say to these calls, in their order."""
    async with (
        query.Reader(dsn, redis_url) as reader,
        Client(server.build(reader, allowing(redis_url, dsn))) as client,
    ):
        found = []
        for tool, arguments in calls:
            result = await client.call_tool(tool, json.loads(arguments))
            assert not result.is_error, result.content[0].text
            found.append(result.content[0].text.rstrip() + "\n")
        return found


def allowing(redis_url: str, dsn: str) -> Authority:
    """As with every --allow flag."""
    return Authority(SCOPES, redis_url=redis_url, dsn=dsn)


def unchanging(text: str) -> str:
    for pattern, name in RUN:
        text = re.sub(pattern, name, text)
    return text


async def test_the_page_for_agents_shows_what_the_tools_say(
    store_dsn, redis_url, request
):
    await fill(store_dsn)
    page = PAGE.read_text()
    shown = EXAMPLE.findall(page)
    calls = [(tool, arguments) for tool, arguments, _ in shown]
    with application("payments", GODOT_REDIS_URL=redis_url):
        said = await answers(store_dsn, redis_url, calls)
    if request.config.getoption("--update"):
        made = iter(said)
        PAGE.write_text(
            EXAMPLE.sub(
                lambda m: m[0][: m.start(3) - m.start()] + next(made) + "```", page
            )
        )
        pytest.skip("docs/agents.md was written anew, and so not compared")
    for (tool, _, text), answer in zip(shown, said, strict=True):
        assert unchanging(text) == unchanging(answer), f"{tool}: run it with --update"


async def test_the_page_for_agents_has_an_example_of_every_tool(redis_url):
    dsn = "postgresql://127.0.0.1:1/d"
    async with query.Reader(dsn, redis_url) as reader:
        made = server.build(reader, allowing(redis_url, dsn))
        listed = {one.name for one in await made.list_tools()}
    assert {tool for tool, _, _ in EXAMPLE.findall(PAGE.read_text())} == listed
