"""An agent that is told a symptom and has the tools alone: does it find the cause?

``Agent`` knows nothing of how incidents are made. It looks at what changed, follows one
failing request to where it failed first, and asks what failing lines share that others
do not.
"""

import json
import re
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fix_incidents import Incident, fill, incidents
from mcp import Client

from godot_otel import query
from godot_otel.mcp import server

SEEDS = range(20)
LOOKS = timedelta(minutes=10)  # after the symptom began, and as long before it
CALLS, CHARACTERS, FOUND = 4, 20_000, 18
SHARED, LIFT = 0.85, 0.25  # of the failing lines; and more than of lines before
_OF_THE_LINE = ("log.", "exception.", "error.", "code.", "thread.", "process.")
"""Attributes that say what a line is, not which request it is about."""
_SAME = {"service.version": "version", "deployment.environment.name": "environment"}


@dataclass
class Agent:
    """Follows one symptom; counts what it asks and reads."""

    client: Client
    calls: int = 0
    characters: int = 0
    heard: list[str] = field(default_factory=list)

    async def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments)
        text = result.content[0].text
        assert not result.is_error, text
        self.calls += 1
        self.characters += len(text)
        self.heard.append(f"{tool} {arguments} {len(text)}")
        return json.loads(text)

    async def investigate(self, symptom: str) -> tuple[str, str]:
        """Name the component at fault and what its failures have in common."""
        component, since = re.fullmatch(r"(\S+): .* since (\S+Z)", symptom).groups()
        began = datetime.fromisoformat(since)
        now, before = _window(began, began + LOOKS), _window(began - LOOKS, began)
        changed = await self.ask(
            "logger_patterns", level="ERROR", compare_to="previous", limit=6,
            format="json", **now,
        )  # fmt: skip # one call
        more = [one for one in changed["patterns"] if _grew(one)]
        cause = await self._first_failure(component, more)
        failing = await self._fields(cause, search=_words(cause), **now)
        healthy = await self._fields(cause, **before)
        shared = _in_common(failing, healthy)
        return cause["services"][0], shared or f"template={cause['template']}"

    async def _first_failure(self, component: str, more: list[dict]) -> dict[str, Any]:
        """The pattern that comes first in a request which the symptom is about."""
        seen = [one for one in more if component in one["services"]] or more
        trace_id = seen[0]["example"]["trace_id"]
        trace = await self.ask(
            "logger_get_trace", trace_id=trace_id, level="ERROR", format="json"
        )
        for row in trace["rows"]:
            for one in more:
                if _is_of(row, one):
                    return {**one, "services": [row["service"]]}
        return more[0]

    async def _fields(self, cause: dict[str, Any], **filters: str) -> dict[str, Any]:
        stats = await self.ask(
            "dewey_get_log_stats", component=cause["services"][0], fields="true",
            group_by="level", **filters,
        )  # fmt: skip # one call
        return stats["fields"]


def _window(since: datetime, until: datetime) -> dict[str, str]:
    return {"start_time": f"{since:%FT%TZ}", "end_time": f"{until:%FT%TZ}"}


def _grew(pattern: dict[str, Any]) -> bool:
    change = pattern["change"] or ""
    return change == "new" or (change.startswith("x") and float(change[1:]) > 1)


def _is_of(row: dict[str, Any], pattern: dict[str, Any]) -> bool:
    """Whether a line is of a pattern: of its logger, and said in its words."""
    same = row["service"] in pattern["services"] and row["logger"] == pattern["logger"]
    parts = ".*".join(map(re.escape, _parts(pattern)))
    return bool(same and re.fullmatch(parts, row["body"]))


def _parts(pattern: dict[str, Any]) -> list[str]:
    """What all its lines have in common, in order."""
    return re.split(r"%[a-z]|<\*>", pattern["template"])


def _words(pattern: dict[str, Any]) -> str:
    """The same as a search."""
    parts = (" ".join(re.findall(r"\w+", part)) for part in _parts(pattern))
    return " ".join(f'"{part}"' for part in parts if part)


def _in_common(failing: dict[str, Any], healthy: dict[str, Any]) -> str | None:
    """The key and value of nearly all failing lines, and of far fewer before."""
    found = []
    before = {one["key"]: _shares(one, healthy) for one in healthy["keys"]}
    for one in failing["keys"]:
        if one["key"].startswith(_OF_THE_LINE):
            continue
        for value, share in _shares(one, failing).items():
            lift = share - before.get(one["key"], {}).get(value, 0.0)
            if share >= SHARED and lift >= LIFT:
                found.append((lift, f"{_SAME.get(one['key'], one['key'])}={value}"))
    return max(found)[1] if found else None


def _shares(one: dict[str, Any], fields: dict[str, Any]) -> dict[str, float]:
    return {top["value"]: top["lines"] / fields["sampled_lines"] for top in one["top"]}


@pytest.mark.slow
async def test_the_cause_of_an_incident_is_found_in_few_calls_and_few_characters(
    store_dsn, redis_url
):
    made = incidents(SEEDS, datetime.now(UTC))
    assert await fill(store_dsn, made) > 200_000
    async with (
        query.Reader(store_dsn, redis_url) as reader,
        Client(server.build(reader)) as client,
    ):
        results = [(one, *await _investigated(one, client)) for one in made]
    for one, agent, answer, right in results:
        said = "found" if right else f"not found, but {answer}"
        print(f"{one.symptom} | {one.guilty} {one.differs}: {said}, {agent.calls}"
              f" calls, {agent.characters} characters")  # fmt: skip # one line
    spent = [agent.characters for _, agent, _, _ in results]
    print(f"median {statistics.median(spent)}, most {max(spent)} characters")
    assert all(agent.calls <= CALLS for _, agent, _, _ in results)
    assert max(spent) <= CHARACTERS
    assert sum(right for *_, right in results) >= FOUND


async def _investigated(
    incident: Incident, client: Client
) -> tuple[Agent, tuple[str, str], bool]:
    agent = Agent(client)
    answer = await agent.investigate(incident.symptom)
    return agent, answer, answer == (incident.guilty, incident.differs)
