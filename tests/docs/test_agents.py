"""The page for agents shows what the tools say today; ``--update`` writes it anew."""

import json
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fix_otlp_spans
import pytest
from fix_incidents import Line, entry, write
from fix_otlp_spans import add
from fix_processes import application
from mcp import Client
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from godot_otel import query, queue
from godot_otel.access import SCOPES
from godot_otel.mcp import server
from godot_otel.mcp.authority import Authority

PAGE = Path(__file__).parents[2] / "docs/agents.md"
EXAMPLE = re.compile(
    r"^### (\w+)\n.*?^```json\n(.*?)^```\n\n```text\n(.*?)^```$", re.M | re.S
)
"""A tool, its arguments and its answer."""
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
OPERATIONS = {
    "shop": "POST /checkout", "orders": "POST /orders", "payments": "POST /charge",
}  # fmt: skip # what each service does
CALLED_BY = {"orders": "shop", "payments": "orders"}
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
    rng, of_spans = random.Random(7), random.Random(8)
    lines: dict[str, list[Line]] = {"shop": [], "orders": [], "payments": []}
    spans: dict[str, list[Span]] = {"shop": [], "orders": [], "payments": []}
    for number in range(20):
        time = NOON + timedelta(seconds=30 * number)
        region, trace_id = f"eu-{number % 3}", rng.randbytes(16)
        ids = {service: of_spans.randbytes(8) for service in lines}
        failed = number >= 10 and region == "eu-2"

        def said(service: str, ms: int, severity: int, template: str, *values: object):
            at = time + timedelta(milliseconds=ms)  # noqa: B023 # called at once
            attributes = {"region": region}  # noqa: B023
            facts = template, values, trace_id, attributes, ids[service]  # noqa: B023
            line = Line(at, severity, *facts)
            lines[service].append(line)

        def did(service: str, name: str, ms: int, until: int, why: str = ""):
            start = int((time + timedelta(milliseconds=ms)).timestamp() * 1e6) * 1000  # noqa: B023
            parent = ids[CALLED_BY[service]] if service in CALLED_BY else b""  # noqa: B023
            span = Span(
                trace_id=trace_id, span_id=ids[service], parent_span_id=parent,  # noqa: B023
                name=name, kind=Span.SPAN_KIND_SERVER, start_time_unix_nano=start,
                end_time_unix_nano=start + (until - ms) * 1_000_000, flags=1,
            )  # fmt: skip # one span
            if why:
                span.status.code, span.status.message = 2, why
            add(span.attributes, {"region": region})  # noqa: B023
            spans[service].append(span)

        said("shop", 0, 9, "checkout of cart %d begins", number)
        said("orders", 4, 9, "order for cart %d made", number)
        said("payments", 9, 9, "charging %d euros", 10 + number)
        ends = (71, 66, 62) if failed else (42, 38, 31)
        why = ("payments answered 502",) * 2 + ("certificate expired",)
        for place, (service, name) in enumerate(OPERATIONS.items()):
            did(service, name, 4 * place, ends[place], why[place] if failed else "")
        if failed:
            bank = f"bank-{region}.example"
            said("payments", 61, 17, "certificate of %s expired %d days ago", bank, 1)
            said("orders", 64, 17, "payments answered %d", 502)
            said("shop", 70, 17, "checkout of cart %d failed", number)
        else:
            said("shop", 40, 9, "checkout of cart %d done", number)
    entries = [entry(one, "production", "1.4.2", found) for one, found in lines.items()]
    for one, done in spans.items():
        sent = fix_otlp_spans.request(done, service=one, environment="production")
        minted = queue.batch_id(int(NOON.timestamp() * 1000))
        payload = sent.SerializeToString()
        entries.append(queue.Entry(minted, b"traces", len(done), payload))
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
