"""Each record becomes the same row, whichever language's exporter sent it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fix_contract import cases, emit_by_node, expanded, stored
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from godot_otel_exporter.exporter import GodotLogRecordExporter

CASES = cases("records")
CONTRACT = {"service.name": "contract"}
ROWS = """
SELECT l.time, l.time_nanos, l.severity, l.severity_text, l.environment, l.service,
       l.logger, l.event_name, l.body, l.body_data, l.attributes, l.trace_flags,
       replace(l.trace_id::text, '-', '') AS trace_id,
       encode(l.span_id, 'hex') AS span_id, t.template, s.version,
       r.attributes AS resource
FROM logs AS l
LEFT JOIN templates AS t ON t.id = l.template_id
LEFT JOIN resources AS r ON r.id = l.resource_id
LEFT JOIN scopes AS s ON s.id = l.scope_id
"""


def emit_by_python(url: str, seconds: int) -> None:
    exporter = GodotLogRecordExporter(endpoint=url)
    for number, case in enumerate(CASES):
        resource = Resource(case.get("resource", CONTRACT))
        provider = LoggerProvider(resource, shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        scope, record = case.get("scope", {"name": case["name"]}), case["record"]
        when = seconds * 10**9 + number
        severity = record.get("severity_number")
        provider.get_logger(scope["name"], scope.get("version")).emit(
            LogRecord(
                timestamp=when,
                observed_timestamp=when,
                context=set_span_in_context(NonRecordingSpan(span_of(record))),
                severity_number=severity and SeverityNumber(severity),
                severity_text=record.get("severity_text"),
                event_name=record.get("event_name"),
                body=expanded(record["body"]),
                attributes=expanded(record.get("attributes", {})),
            )
        )
    exporter.shutdown()


def span_of(record: dict[str, Any]) -> SpanContext:
    return SpanContext(
        int(record.get("trace_id", "0"), 16),
        int(record.get("span_id", "0"), 16),
        is_remote=False,
        trace_flags=TraceFlags(record.get("trace_flags", 0)),
    )


@pytest.fixture(scope="module", params=["python", "node"])
def rows(request, postgres, template, valkey, tmp_path_factory) -> dict[str, Any]:
    """What the store holds of each case that one language's exporter sent."""
    seconds = int(time.time())

    def emit(url: str) -> None:
        if request.param == "python":
            emit_by_python(url, seconds)
        else:
            emit_by_node("records", {"url": url, "seconds": seconds}, tmp_path_factory)

    found = stored(emit, valkey, postgres, template, ROWS, logs=len(CASES))
    begin = datetime.fromtimestamp(seconds, UTC)
    by_time = {
        (row["time"] - begin) // timedelta(microseconds=1) * 1000
        + row["time_nanos"]: row
        for row in found
    }
    return {case["name"]: by_time[number] for number, case in enumerate(CASES)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_record_becomes_the_row_that_its_case_says(rows, case):
    row, wanted = rows[case["name"]], expanded_row(case["row"])
    assert {name: row[name] for name in wanted} == wanted
    assert row["service"] == case.get("resource", CONTRACT)["service.name"]
    scope = case.get("scope", {"name": case["name"], "version": None})
    assert (row["logger"], row["version"] or None) == (scope["name"], scope["version"])


def expanded_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row, but for bytes, which the store itself keeps as text."""
    return {
        name: value if name == "attributes" and "raw" in value else expanded(value)
        for name, value in row.items()
    }
