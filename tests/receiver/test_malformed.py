"""What is wrong with records is said by place and field, and what is readable taken."""

import json
import re

import pytest
from fix_otlp_spans import request as spans
from fix_otlp_spans import span
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from starlette.exceptions import HTTPException

from godot_otel_collector.receiver import json_shape
from godot_otel_collector.receiver.answers import Encoding
from godot_otel_collector.receiver.parsed import Parsed
from godot_otel_collector.receiver.parsing import parse
from godot_otel_collector.receiver.signals import LOGS, TRACES, Signal

TRACE = "5b8efff798038103d269b633813fc60c"
SECRET = "hunter2"
FIRST = "resourceLogs[0].scopeLogs[0].logRecords[0]"


def logs(*records: object) -> Parsed:
    return parsed([{"scopeLogs": [{"logRecords": records}]}])


def parsed(groups: object, signal: Signal = LOGS) -> Parsed:
    return parse(json.dumps({signal.names[0]: groups}).encode(), Encoding.JSON, signal)


def taken(found: Parsed) -> list[LogRecord]:
    return [record for _, _, record in found.signal.each(found.request)]


def nested(depth: int, leaf: object) -> object:
    for _ in range(depth):
        leaf = {"arrayValue": {"values": [leaf]}}
    return leaf


VALUE = 'is no object, such as {"stringValue": "..."}'


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"timeUnixNano": SECRET}, "timeUnixNano is malformed"),
        ({"timeUnixNano": -1}, "timeUnixNano is malformed"),
        ({"flags": 2**32}, "flags is malformed"),
        ({"body": SECRET}, f"body {VALUE}"),
        ({"body": []}, f"body {VALUE}"),
        ({"body": [None]}, f"body {VALUE}"),
        ({"body": {"intValue": SECRET}}, "body.intValue is malformed"),
        ({"body": {"doubleValue": 10**400}}, "body.doubleValue is malformed"),
        ({"body": {"bytesValue": "!!!"}}, "body.bytesValue is no base64"),
        ({"body": {"bytesValue": 5}}, "body.bytesValue is no base64"),
        ({"body": {"intValue": 1, "boolValue": True}}, "body is malformed"),
        ({"body": {"arrayValue": []}}, "body.arrayValue is no object"),
        (
            {"body": {"arrayValue": {"values": [{}, SECRET]}}},
            f"body.arrayValue.values[1] {VALUE}",
        ),
        ({"attributes": SECRET}, "attributes is no list"),
        ({"attributes": {"key": SECRET}}, "attributes is no list"),
        ({"attributes": [SECRET]}, "attributes[0] is no object"),
        ({"attributes": [{}, None]}, "attributes[1] is no object"),
        ({"attributes": [{"key": 5}]}, "attributes[0].key is malformed"),
        ({"attributes": [{"value": SECRET}]}, f"attributes[0].value {VALUE}"),
        (
            {"attributes": [{"key": "a", "value": {"intValue": SECRET}}]},
            "attributes[0].value.intValue is malformed",
        ),
        ({"traceId": TRACE, "trace_id": TRACE}, "traceId is there by two names"),
        (SECRET, "it is no object"),
        (None, "it is no object"),
    ],
)  # fmt: skip # a table
def test_a_bad_record_is_named_by_place_and_field_never_by_value(record, why):
    found = logs({"body": {"stringValue": "before"}}, record, record, {"flags": 1})
    assert (found.records, found.rejected) == (2, 2)
    assert found.problem == f"{FIRST[:-2]}1]: {why}"
    assert [one.body.string_value for one in taken(found)] == ["before", ""]


@pytest.mark.parametrize("deep", [{"stringValue": "x"}, {"intValue": SECRET}, SECRET])
@pytest.mark.parametrize("depth", [20, 47, 48, 49, 50, 51, 150])
@pytest.mark.parametrize("encoding", Encoding)
def test_at_every_depth_a_record_costs_itself_alone(depth, deep, encoding):
    if encoding is Encoding.JSON:
        found = logs({"body": nested(depth, deep)}, {"flags": 1})
    else:
        raw = b"\x0a\x01x"  # a body of text, in as many lists
        for _ in range(depth):
            inside = b"\x0a" + varint(len(raw)) + raw
            raw = b"\x2a" + varint(len(inside)) + inside
        for tag in (b"\x2a", b"\x12", b"\x12", b"\x0a"):  # body, record, scope, group
            raw = tag + varint(len(raw)) + raw
        good = b"\x0a\x04\x12\x02\x12\x00"
        found = parse(raw + good, encoding)
    assert found.records + found.rejected == 2
    assert found.records >= 1
    if depth == 20 and deep == {"stringValue": "x"}:
        assert found.records == 2
    assert SECRET not in found.problem
    assert found.request.SerializeToString()


def varint(number: int) -> bytes:
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def test_the_place_is_of_the_whole_request():
    scopes = [{}, {"logRecords": [{}, {"flags": "x"}]}]
    found = parsed([{"scopeLogs": scopes} for _ in range(2)])
    assert (found.records, found.rejected) == (2, 2)
    assert found.problem.startswith("resourceLogs[0].scopeLogs[1].logRecords[1]: flags")


@pytest.mark.parametrize(
    "no_id",
    [
        "xyz",
        TRACE[:8] + " " + TRACE[8:],
        "W47/95gDgQPSabYzgT/GDA==",
        "x" * 1000,
        5,
        [SECRET],
        False,
    ],
)
def test_a_line_whose_ids_are_no_hex_is_taken_and_has_them_as_attributes(no_id):
    found = logs(
        {"traceId": TRACE},
        {"traceId": no_id, "attributes": [{"key": "k", "value": {}}]},
        {"traceId": TRACE, "spanId": no_id},
    )
    assert (found.records, found.rejected) == (3, 0)
    why = "traceId is no hex: see log.original_trace_id"
    assert found.remarked == f"{FIRST[:-2]}1]: {why}"
    good, traceless, spanless = taken(found)
    assert good.trace_id.hex() == spanless.trace_id.hex() == TRACE
    assert (traceless.trace_id, spanless.span_id) == (b"", b"")
    kept = [(one.key, one.value.string_value) for one in traceless.attributes]
    text = no_id if isinstance(no_id, str) else json.dumps(no_id)
    assert kept == [("k", ""), ("log.original_trace_id", text)]
    [attribute] = spanless.attributes
    assert attribute.key == "log.original_span_id"


LEVELS = ["ERROR", "9" * 5000, 17.5, True, 2**32 + 17, float("nan"), float("inf"), [1]]


@pytest.mark.parametrize("no_level", LEVELS)
def test_a_line_whose_level_is_none_is_taken_and_has_it_as_an_attribute(no_level):
    found = logs({"severityNumber": no_level, "body": {"stringValue": "x"}})
    assert (found.records, found.rejected) == (1, 0)
    why = "severityNumber is no number of OTLP's: see log.original_severity"
    assert found.remarked == f"{FIRST}: {why}"
    [line] = taken(found)
    text = no_level if isinstance(no_level, str) else json.dumps(no_level)
    [kept] = line.attributes
    assert (kept.key, kept.value.string_value) == ("log.original_severity", text)
    assert (line.severity_number, line.body.string_value) == (0, "x")


def test_a_span_whose_kind_or_status_is_none_is_taken():
    made = {
        "traceId": TRACE, "spanId": "00f067aa0ba902b7", "kind": "SERVER",
        "status": {"code": "ERROR", "message": "boom"},
    }  # fmt: skip # one span
    found = parsed([{"scopeSpans": [{"spans": [made]}]}], TRACES)
    assert (found.records, found.rejected) == (1, 0)
    [one] = taken(found)
    assert {each.key: each.value.string_value for each in one.attributes} == {
        "span.original_kind": "SERVER", "span.original_status": "ERROR",
    }  # fmt: skip # a table
    assert one.status.message == "boom"


def test_an_id_of_another_length_is_kept_for_the_collector_and_remarked():
    found = logs({"traceId": "abcd"})
    assert taken(found)[0].trace_id == b"\xab\xcd"
    assert found.remarked == (
        f"{FIRST}: traceId has not 16 bytes: see log.original_trace_id"
    )


ANY_ID = "it lacks a trace id of 16 or a span id of 8 bytes"
NO_LINK = "links[1].traceId is no hex"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"traceId": "xyz"}, "traceId is no hex"),
        ({"spanId": 5}, "spanId is no hex"),
        ({"spanId": None}, ANY_ID),
        ({"traceId": "abcd"}, ANY_ID),
        ({"links": 7}, "links is no list"),
        ({"links": [7]}, "links[0] is no object"),
        ({"links": [{"traceId": TRACE}, {"traceId": "xyz"}]}, NO_LINK),
        ({"links": [{}, {"traceId": 7}]}, NO_LINK),
        ({"status": []}, "status is no object"),
        (
            {"events": [{}, {"timeUnixNano": "soon"}]},
            "events[1].timeUnixNano is malformed",
        ),
    ],
)
def test_a_span_that_is_none_is_rejected(fields, why):
    good = {"traceId": TRACE, "spanId": "00f067aa0ba902b7"}
    found = parsed([{"scopeSpans": [{"spans": [{**good, **fields}, good]}]}], TRACES)
    assert (found.records, found.rejected) == (1, 1)
    assert found.problem == f"resourceSpans[0].scopeSpans[0].spans[0]: {why}"


def test_what_otlp_lets_a_span_have_is_taken():
    made = {
        "traceId": TRACE.upper(), "spanId": "00f067aa0ba902b7", "parentSpanId": "xyz",
        "kind": "SPAN_KIND_SERVER", "status": {"code": 2.0, "novel": 1},
        "links": [{"traceId": TRACE, "parentSpanId": "zz"}], "[x.y]": 1,
    }  # fmt: skip # one span
    found = parsed([{"scopeSpans": [{"spans": [made]}], "[x.y]": 1}], TRACES)
    assert (found.records, found.rejected) == (1, 0)
    assert found.remarked.endswith(
        "parentSpanId is no hex: see span.original_parent_id"
    )
    [one] = taken(found)
    assert (one.trace_id.hex(), one.kind, one.status.code) == (TRACE, 2, 2)
    assert one.attributes[0].key == "span.original_parent_id"


def test_names_of_the_protocols_files_are_read_as_those_of_its_json():
    record = {
        "trace_id": TRACE, "span_id": "00f067aa0ba902b7", "severity_number": 9,
        "time_unix_nano": "7", "parent_span_id": "none of a line",
    }  # fmt: skip # one record
    tree = {"resource_logs": [{"scope_logs": [{"log_records": [record]}]}]}
    found = parse(json.dumps(tree).encode(), Encoding.JSON)
    assert (found.records, found.rejected) == (1, 0)
    assert (found.problem, found.remarked) == ("", "")
    [one] = taken(found)
    assert (one.trace_id.hex(), one.time_unix_nano) == (TRACE, 7)
    assert (one.span_id.hex(), one.severity_number) == ("00f067aa0ba902b7", 9)


NOTHING = "resourceLogs: nothing of it was taken"
RECORDS = {"logRecords": [{}]}


@pytest.mark.parametrize(
    ("tree", "remark"),
    [
        ({"logs": [{}]}, f"it has no {NOTHING}"),
        ({"resourceSpans": []}, f"it has no {NOTHING}"),
        (
            {"resourceLogs": [{"instrumentationLibraryLogs": [RECORDS]}]},
            "resourceLogs[0] has no scopeLogs: nothing of it was taken",
        ),
        (
            {"resourceLogs": [{"scopeLogs": [{"records": [{}]}]}]},
            "resourceLogs[0].scopeLogs[0] has no logRecords: nothing of it was taken",
        ),
        ({"resourceLogs": None}, ""),
        ({"resourceLogs": [{}]}, ""),
        ({"resourceLogs": [{"resource": {}, "schemaUrl": "u"}]}, ""),
        (
            {
                "resourceLogs": [
                    {"novel": 1, "scopeLogs": [{"novel": 1, "logRecords": []}]}
                ]
            },
            "",
        ),
        ({"resourceLogs": [{"scopeLogs": []}]}, ""),
        ({}, ""),
    ],
)
def test_a_request_that_brings_nothing_by_its_names_says_so(tree, remark):
    found = parse(json.dumps(tree).encode(), Encoding.JSON)
    assert (found.records, found.rejected) == (0, 0)
    assert found.remarked == remark


@pytest.mark.parametrize(
    ("record", "remark"),
    [
        ({"body": {"message": "hello"}}, "body"),
        ({"body": {"kvlistValue": {"a": "b"}}}, "body.kvlistValue"),
        ({"attributes": [{"value": {"string": "b"}}]}, "attributes[0].value"),
        ({"attributes": [{"a": "b"}]}, "attributes[0]"),
    ],
)  # fmt: skip # a table
def test_an_object_of_unknown_fields_alone_is_empty_and_remarked(record, remark):
    found = logs(record)
    assert (found.records, found.rejected) == (1, 0)
    assert found.remarked == (
        f"{FIRST}: {remark} has no field that is known, and is empty now"
    )


@pytest.mark.parametrize(
    ("group", "lost", "why"),
    [
        (
            {"resource": {"attributes": {"service.name": SECRET}},
             "scopeLogs": [RECORDS, RECORDS]},
            2, "resourceLogs[0]: resource.attributes is no list",
        ),
        (
            {"schemaUrl": 5, "scopeLogs": [RECORDS, 5]},
            1, "resourceLogs[0]: schemaUrl is malformed",
        ),
        ({"scopeLogs": SECRET}, 0, "resourceLogs[0]: scopeLogs is no list"),
        ({"scopeLogs": {}}, 0, "resourceLogs[0]: scopeLogs is no list"),
        (
            {"scopeLogs": [RECORDS], "scope_logs": [RECORDS]},
            0, "resourceLogs[0]: scopeLogs is there by two names",
        ),
        ({"scopeLogs": [5]}, 0, "resourceLogs[0].scopeLogs[0]: it is no object"),
        (
            {"scopeLogs": [{"scope": [], **RECORDS}]},
            1, "resourceLogs[0].scopeLogs[0]: scope is no object",
        ),
        (
            {"scopeLogs": [{"logRecords": 5}]},
            0, "resourceLogs[0].scopeLogs[0]: logRecords is no list",
        ),
        (SECRET, 0, "resourceLogs[0]: it is no object"),
    ],
)  # fmt: skip # a table
def test_a_bad_resource_or_scope_costs_what_is_of_it_alone(group, lost, why):
    found = parsed([group, {"scopeLogs": [{"logRecords": [{"flags": 7}]}]}])
    assert (found.records, found.rejected, found.problem) == (1, lost, why)
    assert [one.flags for one in taken(found)] == [7]
    if not lost:
        with pytest.raises(HTTPException, match=re.escape(why)):
            parsed([group])


def test_resources_and_scopes_are_bounded_as_records_are():
    for many in ([{}] * 100_001, [{"scopeLogs": [{}] * 100_000}]):
        with pytest.raises(HTTPException, match="more than 100,000"):
            parsed(many)
    with pytest.raises(HTTPException, match="more than 100,000"):
        parse(b"\x0a\x00" * 100_001, Encoding.PROTOBUF)


def test_a_number_of_thousands_of_digits_spoils_no_neighbour():
    records = b'[{}, {"body": {"intValue": %s}}, {"x": %s}]' % (
        b"9" * 5000,
        b"9" * 5000,
    )
    data = b'{"resourceLogs": [{"scopeLogs": [{"logRecords": %s}]}]}' % records
    found = parse(data, Encoding.JSON)
    assert (found.records, found.rejected) == (2, 1)
    assert found.problem == f"{FIRST[:-2]}1]: body.intValue is malformed"


def test_only_the_first_bad_record_is_searched_for_its_field(monkeypatch):
    searched = []
    monkeypatch.setattr(json_shape, "_blame", lambda *given: searched.append(given))
    found = logs(*[{"body": {"intValue": "x"}}] * 100)
    assert (found.records, found.rejected, len(searched)) == (0, 100, 1)


def test_bytes_that_are_no_utf8_spoil_no_neighbour():
    texts = ["one", "tw\xff", "three \ud800"]
    records = [{"body": {"stringValue": text}} for text in texts]
    tree = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    data = json.dumps(tree).encode().replace(rb"\u00ff", b"\xff")
    found = [one.body.string_value for one in taken(parse(data, Encoding.JSON))]
    assert found == ["one", "tw\N{REPLACEMENT CHARACTER}", "three ?"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{garbage", "double quotes: line 1 column 2 (char 1)"),
        (b'{\n"resourceLogs": [}', "Expecting value: line 2 column 18 (char 19)"),
        (b'["' + SECRET.encode() + b'"]', "it is no object"),
        (b"\xff\xfe", "Expecting value"),
        (b'{"resourceLogs": [1]}', "resourceLogs[0]: it is no object"),
        (b'{"resourceLogs": {"a": 1}}', "resourceLogs is no list"),
        (b'{"resourceLogs": ""}', "resourceLogs is no list"),
        (b'{"resourceLogs": [], "resource_logs": []}', "is there by two names"),
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
    found = parse(data, Encoding.PROTOBUF, TRACES)
    assert (found.records, found.rejected) == (1, 2)
    assert found.problem == (
        "resourceSpans[0].scopeSpans[0].spans[1]: it is cut short, nested too deeply,"
        " no such message, or has a text that is no UTF-8"
    )
    message.resource_spans[0].resource.attributes.add(key="spoilt")
    data = message.SerializeToString().replace(b"spoilt", b"\xff" * 6)
    found = parse(data, Encoding.PROTOBUF, TRACES)
    assert (found.records, found.rejected) == (0, 3)
    assert found.problem.startswith("resourceSpans[0].resource: it is cut short")
