"""Each span becomes the same row, whichever language's exporter sent it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fix_contract import cases, emit_by_node, expanded, stored
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from godot_otel_exporter.span_exporter import GodotSpanExporter

CASES = cases("spans")
RESOURCE = Resource({"service.name": "contract"})
ROWS = """
SELECT c.name AS case, s.service, s.name, s.kind, s.status, s.status_message, s.flags,
       s.trace_state, s.duration_ns, s.attributes, s.events, s.links,
       extract(epoch FROM s.time) * 1000000000 + s.time_nanos AS start,
       replace(s.trace_id::text, '-', '') AS trace_id,
       encode(s.span_id, 'hex') AS span_id, encode(s.parent_id, 'hex') AS parent_id
FROM spans AS s
JOIN scopes AS c ON c.id = s.scope_id
"""


def emit_by_python(url: str, seconds: int) -> None:
    exporter = GodotSpanExporter(endpoint=url)
    exporter.export(
        [span_of(one["name"], expanded(one["span"]), seconds) for one in CASES]
    )
    exporter.shutdown()


def span_of(name: str, span: dict[str, Any], seconds: int) -> ReadableSpan:
    parent, status = span.get("parent"), span.get("status", {})
    return ReadableSpan(
        name=span["name"],
        context=context(span, trace_state=span.get("trace_state", "")),
        parent=context(span | parent, remote=parent["remote"]) if parent else None,
        resource=RESOURCE,
        attributes=span.get("attributes", {}),
        events=[
            Event(one["name"], one["attributes"], nanoseconds(one["at"], seconds))
            for one in span.get("events", [])
        ],
        links=[Link(context(one), one["attributes"]) for one in span.get("links", [])],
        kind=SpanKind[span["kind"]],
        status=Status(StatusCode[status.get("code", "UNSET")], status.get("message")),
        start_time=nanoseconds(span["start"], seconds),
        end_time=nanoseconds(span["end"], seconds),
        instrumentation_scope=InstrumentationScope(name),
    )


def context(
    ids: dict[str, Any], *, remote: bool = False, trace_state: str = ""
) -> SpanContext:
    return SpanContext(
        int(ids["trace_id"], 16), int(ids["span_id"], 16), remote,
        TraceFlags(TraceFlags.SAMPLED), TraceState.from_header([trace_state]),
    )  # fmt: skip # ids, then the rest


def nanoseconds(time: dict[str, int], seconds: int) -> int:
    """When that was, of the times that a case counts from *seconds* on."""
    return (seconds + time["seconds"]) * 10**9 + time["nanoseconds"]


@pytest.fixture(scope="module", params=["python", "node"])
def rows(
    request, postgres, template, valkey, tmp_path_factory
) -> tuple[int, dict[str, Any]]:
    """When the cases began, and what the store holds of each."""
    seconds = int(time.time())

    def emit(url: str) -> None:
        if request.param == "python":
            emit_by_python(url, seconds)
        else:
            emit_by_node("spans", {"url": url, "seconds": seconds}, tmp_path_factory)

    found = stored(emit, valkey, postgres, template, ROWS, spans=len(CASES))
    return seconds, {row["case"]: row for row in found}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_span_becomes_the_row_that_its_case_says(rows, case):
    seconds, found = rows
    row, wanted = found[case["name"]], expanded(case["row"])
    assert row["service"] == "contract"
    assert row["start"] == nanoseconds(case["span"]["start"], seconds)
    for event in wanted["events"] or []:
        event["time"] = nanoseconds(event.pop("at"), seconds)
    for one in (row, *(row["links"] or [])):
        # One SDK repeats the sampled flag where another leaves it to the ids.
        one["flags"] |= TraceFlags.SAMPLED
    assert {name: row[name] for name in wanted} == wanted
