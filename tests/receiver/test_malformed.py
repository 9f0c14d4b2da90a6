"""What is wrong with records is said by place and field, and what is readable taken."""

import json

import pytest
from fix_otlp_spans import request as spans
from fix_otlp_spans import span
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from starlette.exceptions import HTTPException

from godot_otel_collector.receiver.answers import Encoding
from godot_otel_collector.receiver.parsed import Parsed
from godot_otel_collector.receiver.parsing import parse
from godot_otel_collector.receiver.signals import LOGS, TRACES, Signal

TRACE = "5b8efff798038103d269b633813fc60c"
SECRET = "hunter2"
FIRST = "resourceLogs[0].scopeLogs[0].logRecords[0]"


def logs(*records: object) -> Parsed:
    tree = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    return parse(json.dumps(tree).encode(), Encoding.JSON)


def taken(parsed: Parsed) -> list[LogRecord]:
    return [record for _, _, record in parsed.signal.each(parsed.request)]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"timeUnixNano": SECRET}, "timeUnixNano is malformed"),
        ({"timeUnixNano": -1}, "timeUnixNano is malformed"),
        ({"severityNumber": float("inf")}, "it is malformed"),
        ({"traceId": 5}, "traceId is no text"),
        ({"spanId": [SECRET]}, "spanId is no text"),
        ({"body": SECRET}, 'body is no object, such as {"stringValue": "..."}'),
        ({"body": [{}]}, "body is malformed"),
        ({"attributes": [SECRET]}, "attributes is no object"),
        (
            {"attributes": [{"key": "a", "value": SECRET}]},
            'attributes.value is no object, such as {"stringValue": "..."}',
        ),
        (
            {"body": {"arrayValue": {"values": [SECRET]}}},
            'body.arrayValue.values is no object, such as {"stringValue": "..."}',
        ),
        ({"body": {"intValue": SECRET}}, "body.intValue is malformed"),
        (
            {"attributes": [{"key": "a", "value": {"intValue": SECRET}}]},
            "attributes.value.intValue is malformed",
        ),
        ({"attributes": {"key": SECRET}}, "attributes is malformed"),
        (
            {"body": {"intValue": f"Failed to parse {SECRET} field: "}},
            "body is malformed",
        ),
        (SECRET, "it is no object"),
        (None, "it is no object"),
    ],
)
def test_a_bad_record_is_named_by_place_and_field_never_by_value(record, why):
    parsed = logs({"body": {"stringValue": "before"}}, record, record, {})
    assert (parsed.records, parsed.rejected) == (2, 2)
    assert parsed.said == f"{FIRST[:-2]}1]: {why}"
    assert SECRET not in parsed.said
    assert [one.body.string_value for one in taken(parsed)] == ["before", ""]


def test_the_place_is_of_the_whole_request():
    tree = {"resourceLogs": [
        {"scopeLogs": [{}, {"logRecords": [{}, {"flags": "x"}]}]}
        for _ in range(2)
    ]}  # fmt: skip # one tree
    parsed = parse(json.dumps(tree).encode(), Encoding.JSON)
    assert (parsed.records, parsed.rejected) == (2, 2)
    assert parsed.said.startswith("resourceLogs[0].scopeLogs[1].logRecords[1]: flags")


@pytest.mark.parametrize("no_hex", ["xyz", "W47/95gDgQPSabYzgT/GDA==", "x" * 1000])
def test_a_line_whose_ids_are_no_hex_is_taken_and_has_them_as_attributes(no_hex):
    parsed = logs(
        {"traceId": TRACE},
        {"traceId": no_hex, "attributes": [{"key": "k", "value": {}}]},
        {"traceId": TRACE, "spanId": no_hex},
    )
    assert (parsed.records, parsed.rejected) == (3, 0)
    assert parsed.said == (
        f"{FIRST[:-2]}1]: traceId is no hex: see log.original_trace_id"
    )
    good, traceless, spanless = taken(parsed)
    assert good.trace_id.hex() == spanless.trace_id.hex() == TRACE
    assert (traceless.trace_id, spanless.span_id) == (b"", b"")
    kept = [(one.key, one.value.string_value) for one in traceless.attributes]
    assert kept == [("k", ""), ("log.original_trace_id", no_hex[:128])]
    [attribute] = spanless.attributes
    assert attribute.key == "log.original_span_id"


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("traceId", "xyz", "traceId is no hex"),
        ("spanId", "xyz", "spanId is no hex"),
        ("spanId", None, "it lacks a trace id of 16 or a span id of 8 bytes"),
        ("traceId", "abcd", "it lacks a trace id of 16 or a span id of 8 bytes"),
        ("links", 7, "links is no object"),
        ("links", [7], "links is no object"),
        ("links", [{"traceId": "xyz"}], "links.traceId is no hex"),
        ("links", [{"spanId": 7}], "spanId is no text"),
    ],
)
def test_a_span_without_its_ids_is_rejected(field, value, why):
    good = {"traceId": TRACE, "spanId": "00f067aa0ba902b7"}
    tree = {"resourceSpans": [{"scopeSpans": [{"spans": [{**good, field: value}]}]}]}
    parsed = parse(json.dumps(tree).encode(), Encoding.JSON, TRACES)
    assert (parsed.records, parsed.rejected) == (0, 1)
    assert parsed.said == f"resourceSpans[0].scopeSpans[0].spans[0]: {why}"


def test_a_span_whose_parent_is_no_hex_is_taken():
    made = {"traceId": TRACE, "spanId": "00f067aa0ba902b7", "parentSpanId": "xyz"}
    tree = {"resourceSpans": [{"scopeSpans": [{"spans": [made]}]}]}
    parsed = parse(json.dumps(tree).encode(), Encoding.JSON, TRACES)
    assert (parsed.records, parsed.rejected) == (1, 0)
    [found] = taken(parsed)
    assert found.attributes[0].key == "span.original_parent_id"


def test_names_of_the_protocols_files_are_read_as_those_of_its_json():
    record = {
        "trace_id": TRACE, "span_id": "00f067aa0ba902b7", "severity_number": 9,
        "time_unix_nano": "7",
    }  # fmt: skip # one record
    tree = {"resource_logs": [{"scope_logs": [{"log_records": [record]}]}]}
    parsed = parse(json.dumps(tree).encode(), Encoding.JSON)
    assert (parsed.records, parsed.rejected, parsed.said) == (1, 0, "")
    [found] = taken(parsed)
    assert (found.trace_id.hex(), found.time_unix_nano) == (TRACE, 7)
    assert (found.span_id.hex(), found.severity_number) == ("00f067aa0ba902b7", 9)


@pytest.mark.parametrize(
    ("signal", "tree", "said"),
    [
        (LOGS, {"logs": [{}]}, "there is no resourceLogs in it: nothing was taken"),
        (LOGS, {"resourceSpans": []}, "there is no resourceLogs in it: nothing was"),
        (TRACES, {"resourceLogs": []}, "there is no resourceSpans in it: nothing was"),
        (LOGS, {"resourceLogs": None}, ""),
        (LOGS, {}, ""),
    ],
)
def test_a_request_that_brings_nothing_by_its_names_says_so(
    signal: Signal, tree: object, said: str
):
    parsed = parse(json.dumps(tree).encode(), Encoding.JSON, signal)
    assert (parsed.records, parsed.rejected) == (0, 0)
    assert parsed.said.startswith(said)
    assert bool(parsed.said) == bool(said)


def test_bytes_that_are_no_utf8_spoil_no_neighbour():
    texts = ["one", "tw\xff", "three \ud800"]
    records = [{"body": {"stringValue": text}} for text in texts]
    tree = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    data = json.dumps(tree).encode().replace(rb"\u00ff", b"\xff")
    found = [one.body.string_value for one in taken(parse(data, Encoding.JSON))]
    assert found == ["one", "tw�", "three ?"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{garbage", "double quotes: line 1 column 2 (char 1)"),
        (b'{\n"resourceLogs": [}', "Expecting value: line 2 column 18 (char 19)"),
        (b'["' + SECRET.encode() + b'"]', "it is no object"),
        (b"\xff\xfe", "Expecting value"),
        (b'{"resourceLogs": [1]}', "resourceLogs holds what is no object"),
        (b'{"resourceLogs": {"a": 1}}', "resourceLogs is no list"),
        (b'{"resourceLogs": [{"schemaUrl": 5}]}', "schemaUrl is malformed"),
    ],
)
def test_a_body_that_is_none_is_told_why(data, why):
    with pytest.raises(HTTPException) as raised:
        parse(data, Encoding.JSON)
    assert raised.value.status_code == 400
    head = "the body is no ExportLogsServiceRequest as application/json: "
    assert raised.value.detail.startswith(head)
    assert why in raised.value.detail
    assert SECRET not in raised.value.detail


def test_bad_parts_of_protobuf_are_named_by_place():
    message = spans([span("fine"), span("spoilt"), span("no id", trace_id=b"")])
    data = message.SerializeToString().replace(b"spoilt", b"\xff" * 6)
    parsed = parse(data, Encoding.PROTOBUF, TRACES)
    assert (parsed.records, parsed.rejected) == (1, 2)
    assert parsed.said == (
        "resourceSpans[0].scopeSpans[0].spans[1]: it is cut short, is no such message,"
        " or has a text that is no UTF-8"
    )
    message.resource_spans[0].resource.attributes.add(key="spoilt")
    data = message.SerializeToString().replace(b"spoilt", b"\xff" * 6)
    parsed = parse(data, Encoding.PROTOBUF, TRACES)
    assert (parsed.records, parsed.rejected) == (0, 3)
    assert parsed.said.startswith("resourceSpans[0].resource: it is cut short")
