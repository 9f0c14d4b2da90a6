"""An agent that knows the symptom alone comes to the cause in at most four calls."""

import json
import random
import re
from datetime import UTC, datetime, timedelta

import pytest
from fix_lines import Row
from fix_mcp import ask, client

from godot_otel.mcp import server as mcp_server

MOST_BYTES = 9_300


def incident(seed: int) -> tuple[list[Row], str, str]:
    """Two hours of a shop, broken in the second by one service; its cause and trace."""
    chance = random.Random(seed)
    services = ["checkout", "payments", "stock"]
    broken = chance.choice(services[1:])
    cause = chance.choice([
        'column "plan_id" does not exist', "connection pool exhausted after 5 s",
        "certificate of vault has expired", "disk quota exceeded",
    ])  # fmt: skip # what broke
    began = datetime.now(UTC) - timedelta(minutes=chance.randint(20, 50))
    rows, victim = [], ""
    for number in range(60):
        when = datetime.now(UTC) - timedelta(minutes=115 - number * 1.9)
        trace = f"{chance.getrandbits(128):032x}"
        for place, service in enumerate(services):
            at = when + timedelta(milliseconds=5 * place)
            rows.append(Row(f"handled {number}", at, service=service, trace_id=trace))
            if chance.random() < 0.2:  # noise that was always there
                rows.append(Row(f"retry {number}", at, service=service, severity=13,
                                trace_id=trace))  # fmt: skip # one row
            if when > began and service == broken and chance.random() < 0.8:
                victim = trace
                rows.append(
                    Row(
                        "request failed",
                        at,
                        service=broken,
                        severity=17,
                        trace_id=trace,
                        attributes={
                            "exception.type": "Failure",
                            "exception.message": cause,
                        },
                    )
                )
                rows.append(
                    Row(
                        "cart 7 was not paid",
                        at + timedelta(milliseconds=30),
                        service="checkout",
                        severity=17,
                        trace_id=trace,
                    )
                )
    assert victim
    return rows, broken, cause


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_checkout_fails_is_all_it_knows(lines, store_dsn, seed):
    rows, broken, cause = incident(seed)
    lines.add(*rows)
    spent = []
    async with client("memory", "auto", store_dsn) as made:
        spent.append(await ask(made, "logger_patterns", compare_to="previous"))
        changes = [row for row in spent[-1].splitlines() if row.startswith("[new]")]
        assert len(changes) == 2  # and no noise among them
        spent.append(
            await ask(made, "logger_find_traces", component="checkout", level="ERROR")
        )
        hint = re.search(r'Next: logger_get_trace\(trace_id="(\w+)"\)', spent[-1])
        spent.append(await ask(made, "logger_get_trace", trace_id=hint[1]))
    first = re.search(r"first error: (.*)", spent[-1])[1]
    assert broken in first
    assert cause in first
    assert len(spent) <= 4
    assert sum(map(len, spent)) < 20_000


async def test_the_list_of_reading_tools_is_short_and_each_names_its_neighbour(
    store_dsn,
):
    async with client("memory", "auto", store_dsn) as made:
        listed = (await made.list_tools()).tools
    shaped = [
        one.model_dump(by_alias=True, exclude_none=True, mode="json") for one in listed
    ]
    text = json.dumps(shaped, separators=(",", ":"), ensure_ascii=False)
    assert len(text.encode()) < MOST_BYTES
    names = {one.name for one in listed}
    for one in listed:
        assert len(one.description.encode()) < 2048
        assert any(name in one.description for name in names - {one.name})
        assert one.annotations.read_only_hint
        assert all("type" in p for p in one.input_schema["properties"].values())
    assert len(mcp_server.INSTRUCTIONS.encode()) < 2048
    assert all(name in mcp_server.INSTRUCTIONS for name in names)
