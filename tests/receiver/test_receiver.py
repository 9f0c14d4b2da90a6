"""Each kind of request has its status, and the next good one is taken."""

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from fix_http import JSON, PROTOBUF, Client
from fix_otlp import request
from fix_processes import ReceiverProcess
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from godot_otel import queue
from godot_otel.errors import SettingError
from godot_otel.redact import Redactor
from godot_otel.stack import ports
from godot_otel.stack.valkey import Valkey
from godot_otel_collector.receiver import app, body
from godot_otel_collector.receiver.server import serve

TOKEN = "0123456789abcdef-token"
GOOD = request(["fine"]).SerializeToString()


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Valkey]:
    """A queue that a test may end."""
    server = Valkey(tmp_path_factory.mktemp("valkey"), port=ports.free())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def receiver(server, tmp_path_factory) -> Iterator[ReceiverProcess]:
    folder = tmp_path_factory.mktemp("receiver")
    process = ReceiverProcess(
        folder, server.url, OTEL_EXPORTER_GODOT_REDACT_KEYS="iban"
    )
    yield process
    assert process.stop() == 0


@pytest.fixture
def client(receiver) -> Iterator[Client]:
    client = Client(receiver.port)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def stored(server) -> Iterator[redis.Redis]:
    """The queue's server, empty at first."""
    with redis.Redis.from_url(server.url) as stored:
        stored.flushdb()
        yield stored


def entries(stored: redis.Redis) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in stored.xrange(queue.stream_key())]


def bodies(stored: redis.Redis) -> list[str]:
    found = []
    for entry in entries(stored):
        message = ExportLogsServiceRequest.FromString(entry[b"payload"])
        records = [
            record.body.string_value
            for group in message.resource_logs
            for scope in group.scope_logs
            for record in scope.log_records
        ]
        assert int(entry[b"records"]) == len(records)
        found += records
    return found


MANY = b"".join((
    b"\x0a\x85\x92\xf4\x01", b"\x12\x80\x92\xf4\x01", b"\x12\x00" * 2_000_000,
))  # fmt: skip # resource_logs, scope_logs, empty records
BOMB = gzip.compress(bytes(body.MAX_BYTES + 1))


@pytest.mark.parametrize(
    ("form", "data", "options", "status", "code", "says"),
    [
        (PROTOBUF, b"\xff garbage", {}, 400, 3, "no ExportLogsServiceRequest"),
        (JSON, b"{garbage", {}, 400, 3, "double quotes: line 1 column 2 "),
        (JSON, b"[1]", {}, 400, 3, "it is no object"),
        (JSON, b"", {}, 400, 3, "Expecting value: line 1"),
        (JSON, b'{"resourceLogs": [{"scopeLogs": 7}]}', {}, 400, 3, "Logs is no list"),
        (JSON, b"[" * 100_000, {}, 400, 3, "nested too deeply"),
        (PROTOBUF, b"no gzip", {"content_encoding": "gzip"}, 400, 3, "no gzip"),
        (PROTOBUF, BOMB[:-9], {"content_encoding": "gzip"}, 400, 3, "it ends early"),
        (PROTOBUF, BOMB, {"content_encoding": "gzip"}, 413, 3, "16 MiB, unpacked"),
        (PROTOBUF, MANY, {"packed": True}, 413, 3, "more than 100,000 records"),
        (JSON, bytes(50 * 2**20), {}, 413, 3, "more than 16 MiB"),
        (PROTOBUF, GOOD, {"content_encoding": "zstd"}, 415, 3, "must be gzip"),
        ("text/plain", GOOD, {}, 415, 3, "application/x-protobuf or application/json"),
        ("", GOOD, {}, 415, 3, "application/x-protobuf or application/json"),
        (JSON, b"", {"method": "GET"}, 405, 12, "by POST"),
        (PROTOBUF, b"", {"path": "/v1/metrics"}, 404, 5, "OTEL_METRICS_EXPORTER=none"),
        (JSON, b"[]", {"path": "/v1/traces"}, 400, 3, "no ExportTraceServiceRequest"),
        (JSON, b"{}", {"path": "/"}, 404, 5, "/v1/logs"),
        (JSON, b"{}", {"origin": "http://evil.example"}, 403, 7, "other sites"),
        (PROTOBUF, GOOD, {"host": "evil.example"}, 421, 3, "localhost only"),
    ],
)  # fmt: skip # a table
def test_what_cannot_be_taken_gets_its_status_and_the_next_request_works(
    client, stored, form, data, options, status, code, says
):
    answer = client.send(data, form, **options)
    assert answer.status == status
    assert answer.headers["content-type"] == (form if form == PROTOBUF else JSON)
    assert answer.error().code == code
    assert says in answer.error().message
    assert client.send(GOOD).status == 200
    assert bodies(stored) == ["fine"]


def test_what_is_refused_is_in_the_log_once_a_minute(receiver, client):
    for _ in range(3):
        client.send(b"{garbage", JSON)
    [line] = receiver.lines("refused")
    assert line["message"].startswith("a client's request was refused: ")


def test_a_body_without_a_length_is_bounded_too(client, stored):
    chunks = (bytes(2**20) for _ in range(50))
    answer = client.send(chunks)
    assert answer.status == 413
    assert client.send(iter([GOOD[:9], GOOD[9:]])).status == 200
    assert bodies(stored) == ["fine"]


def test_requests_of_one_connection_in_both_encodings_packed_or_not(client, stored):
    text = json.dumps(
        {
            "resourceLogs": [
                {
                    "scopeLogs": [
                        {
                            "logRecords": [
                                {
                                    "body": {"stringValue": "json"},
                                    "unknown": {"field": 1},
                                }
                            ]
                        }
                    ]
                }
            ]
        }
    ).encode()
    kept = client.connection.sock
    for form, data in ((PROTOBUF, GOOD), (f"{JSON}; charset=utf-8", text)):
        for packed in (False, True):
            answer = client.send(data, form, packed=packed)
            assert answer.status == 200
            assert answer.body == (b"" if form == PROTOBUF else b"{}")
            assert client.connection.sock is (kept or client.connection.sock)
            kept = client.connection.sock
    assert bodies(stored) == ["fine", "fine", "json", "json"]
    ids = [entry[b"id"] for entry in entries(stored)]
    assert ids[0] == ids[1] != ids[2] == ids[3]


def test_a_request_without_records_is_fine_and_stores_nothing(client, stored):
    assert client.send(b"").status == 200
    assert client.send(b"{}", JSON).status == 200
    assert not stored.exists(queue.stream_key())


def test_a_full_queue_says_when_to_come_again(client, stored):
    stored.hset(queue.meta_key(), "max_records", 1)
    assert client.send(GOOD).status == 200
    other = request(["no room yet"]).SerializeToString()
    for form in (PROTOBUF, JSON):
        answer = client.send(other if form == PROTOBUF else _json(other), form)
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.error().code == 14
        assert answer.error().message == "the queue is full (records)"
    stored.hdel(queue.meta_key(), "max_records")
    assert client.send(other).status == 200
    assert bodies(stored) == ["fine", "no room yet"]


def _json(data: bytes) -> bytes:
    message = ExportLogsServiceRequest.FromString(data)
    return json_format.MessageToJson(message).encode()


def test_while_the_queue_is_away_clients_are_told_to_come_again(
    client, stored, server, receiver
):
    server.stop()
    try:
        for _ in range(2):
            answer = client.send(GOOD)
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "queue cannot be used" in answer.error().message
    finally:
        server.start()
    deadline = time.monotonic() + 10
    while client.send(GOOD).status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert bodies(stored) == ["fine"]
    assert len(receiver.lines("queue_away")) == 1


def test_a_queue_that_hangs_does_not_hold_up_every_request(client, server):
    began = time.monotonic()
    with stopped(server.pid):
        assert [client.send(GOOD).status for _ in range(5)] == [503] * 5
    assert time.monotonic() - began < 8  # not five times the 2 s that one waits


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_above_a_number_of_requests_at_once_the_rest_are_told_to_wait(
    receiver, client, stored
):
    slow = [_begun(receiver.port, GOOD) for _ in range(app.MAX_IN_FLIGHT)]
    deadline = time.monotonic() + 10
    while (answer := client.send(GOOD)).status == 200:
        assert time.monotonic() < deadline
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) > 0
    assert answer.error().code == 8
    for connection in slow:
        connection.close()
    while client.send(GOOD).status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_single_bad_records_are_named_and_their_neighbours_taken(client, stored):
    message = request(["before", "spoilt", "x" * (5 * 2**20), "after"])
    data = message.SerializeToString().replace(b"spoilt", b"\xff\xff\xff\xff\xff\xff")
    number, why = client.send(data).rejected()
    assert number == 2
    assert why == (
        "records not taken: 1 malformed, first resourceLogs[0].scopeLogs[0]"
        ".logRecords[1]: it is cut short, nested too deeply, no such message, or has a"
        " text that is no UTF-8; 1 larger than 4 MiB"
    )
    assert bodies(stored) == ["before", "after"]


@pytest.mark.parametrize("where", ["service", "logger"])
def test_a_bad_resource_or_scope_is_rejected_with_its_own_records(
    client, stored, where
):
    data = request(["one", "two"], **{where: "spoilt"}).SerializeToString()
    data = data.replace(b"spoilt", b"\xff\xff\xff\xff\xff\xff")
    number, _ = client.send(data + GOOD).rejected()
    assert number == 2
    assert bodies(stored) == ["fine"]


def test_what_is_rejected_or_odd_is_in_the_answer_and_the_log(receiver, client, stored):
    records = [{"body": {"stringValue": "fine"}, "traceId": "xyz"}, {"flags": "x"}]
    tree = {"resourceLogs": [{"scopeLogs": [{"logRecords": records[:1]}]}]}
    place = "resourceLogs[0].scopeLogs[0].logRecords"
    answer = client.send(json.dumps(tree).encode(), JSON)
    assert json.loads(answer.body) == {"partialSuccess": {
        "errorMessage": f"{place}[0]: traceId is no hex: see log.original_trace_id"
    }}  # fmt: skip # one object
    tree["resourceLogs"][0]["scopeLogs"][0]["logRecords"] = records
    why = (
        f"records not taken: 1 malformed, first {place}[1]: flags is malformed;"
        f" {place}[0]: traceId is no hex: see log.original_trace_id"
    )
    for _ in range(3):
        answer = client.send(json.dumps(tree).encode(), JSON)
        assert json.loads(answer.body) == {
            "partialSuccess": {"rejectedLogRecords": "1", "errorMessage": why}
        }
    assert bodies(stored) == ["fine"] * 4
    [line] = receiver.lines("rejected")
    assert line["message"].startswith("a client's records not taken: ")


def test_records_that_cannot_be_counted_are_named_too(client, stored):
    groups = [
        {"scopeLogs": {"logRecords": [{}]}},
        {"scopeLogs": [{"logRecords": [{}]}]},
    ]
    answer = client.send(json.dumps({"resourceLogs": groups}).encode(), JSON)
    assert json.loads(answer.body)["partialSuccess"]["errorMessage"] == (
        "records not taken: uncounted malformed, first resourceLogs[0]: scopeLogs is no"
        " list"
    )
    assert bodies(stored) == [""]


def test_a_request_larger_than_a_batch_becomes_several_each_once(client, stored):
    texts = [f"{n} " + "x" * 50_000 for n in range(200)]
    data = request(texts).SerializeToString()
    assert [client.send(data, packed=True).status for _ in range(2)] == [200, 200]
    found = entries(stored)
    assert max(len(entry[b"payload"]) for entry in found) <= queue.MAX_BATCH_BYTES
    assert len({entry[b"id"] for entry in found}) == len(found) / 2 > 2
    assert bodies(stored) == texts * 2


SECRETS = [f"geheim{n}" for n in range(10)]


def test_secrets_never_reach_the_queue(client, stored):
    message = request([f"login with password={SECRETS[0]}"])
    group = message.resource_logs[0]
    scope = group.scope_logs[0]
    record = scope.log_records[0]
    for place, name, secret in (
        (group.resource.attributes, "db.password", SECRETS[1]),
        (scope.scope.attributes, "api_key", SECRETS[2]),
        (record.attributes, "http.request.header.cookie", SECRETS[3]),
        (record.attributes, "IBAN", SECRETS[4]),
    ):
        place.add(key=name).value.string_value = secret
    stack = record.attributes.add(key="exception.stacktrace").value
    stack.string_value = f"ValueError: postgresql://u:{SECRETS[5]}@h/db"
    nested = record.attributes.add(key="request").value.kvlist_value.values.add()
    nested.key = "headers"
    pair = nested.value.array_value.values.add().array_value.values
    pair.add(string_value="authorization")
    pair.add(string_value=SECRETS[6])
    command = record.attributes.add(key="argv").value.array_value.values
    for word in ("run", "--password", SECRETS[7], "--verbose"):
        command.add(string_value=word)
    record.MergeFromString(_unknown_field(SECRETS[8].encode()))
    assert client.send(message.SerializeToString()).status == 200
    tree = {"token": {"stringValue": SECRETS[9]}}
    text = {
        "resourceLogs": [
            {
                "scopeLogs": [
                    {
                        "logRecords": [
                            {
                                "body": {
                                    "kvlistValue": {
                                        "values": [
                                            {"key": k, "value": v}
                                            for k, v in tree.items()
                                        ]
                                    }
                                }
                            }
                        ]
                    }
                ]
            }
        ]
    }
    assert client.send(json.dumps(text).encode(), JSON).status == 200
    held = b"".join(b"".join(entry.values()) for entry in entries(stored))
    assert [secret for secret in SECRETS if secret.encode() in held] == []
    assert held.count(b"[REDACTED]") == 9  # the unknown field is gone
    assert b"--verbose" in held


def _unknown_field(text: bytes) -> bytes:
    assert len(text) < 128
    return b"\xfa\x07" + bytes([len(text)]) + text  # number 127


def test_a_grpc_client_is_told_by_one_line_what_to_set(receiver, client):
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", receiver.port)) as grpc:
            grpc.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert grpc.recv(100) == b""
    [line] = receiver.lines("grpc_client")
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in line["message"]
    assert client.send(GOOD).status == 200


def _begun(port: int, body: bytes, headers: str = "") -> socket.socket:
    """A request of which the first 9 bytes of the body are sent."""
    connection = socket.create_connection(("127.0.0.1", port), 10)
    head = (
        f"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\n{headers}"
        f"Content-Type: {PROTOBUF}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body[:9])
    return connection


def test_with_a_token_only_who_has_it_may_send(tmp_path, server, stored):
    process = ReceiverProcess(tmp_path, server.url, GODOT_OTLP_TOKEN=TOKEN)
    client = Client(process.port)
    for wrong in ("", "Bearer", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}"):
        headers = {"authorization": wrong} if wrong else {}
        answer = client.send(GOOD, **headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.error().code == 16
        assert TOKEN not in answer.error().message
    named = {"authorization": f"Bearer {TOKEN}", "host": "logs.example"}
    assert client.send(GOOD, **named).status == 200
    client.close()
    late = _begun(process.port, GOOD, f"Authorization: bearer {TOKEN}\r\n")
    process.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    late.sendall(GOOD[9:])  # what is on its way when it is to end is taken too
    assert b" 200 " in late.recv(1000)
    late.close()
    assert bodies(stored) == ["fine", "fine"]
    assert process.stop() == 0
    assert "stopped: 2 records admitted" in process.log.read_text()
    assert TOKEN not in process.log.read_text()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost.evil"])
async def test_where_others_reach_it_a_token_must_be_set(server, host):
    with pytest.raises(SettingError, match=r"GODOT_OTLP_TOKEN|is no address"):
        await serve(server.url, host=host, port=0, redactor=Redactor())


def test_what_is_wrong_with_its_address_is_one_sentence_and_exits_2(receiver, server):
    done = subprocess.run(
        [sys.executable, "-m", "godot_otel", "receive", "--port", str(receiver.port)],
        env={"GODOT_REDIS_URL": server.url},
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip # what, and how
    assert (done.returncode, done.stdout) == (2, "")
    assert f"port {receiver.port} on 127.0.0.1 cannot be used" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_values_of_every_kind_pass_unchanged(client, stored):
    message = request([LogRecord(
        body=AnyValue(bytes_value=b"\0\xff"), event_name="e", severity_number=24,
        dropped_attributes_count=3, trace_id=b"t" * 16, span_id=b"s" * 8, flags=1,
    )])  # fmt: skip # one record
    values = message.resource_logs[0].scope_logs[0].log_records[0].attributes
    values.add(key="none").value.SetInParent()
    values.add(key="double").value.double_value = 1e300
    values.add(key="int").value.int_value = -(2**63)
    data = message.SerializeToString()
    assert client.send(data).status == 200
    assert client.send(_json_with_hex_ids(message), JSON).status == 200
    assert [entry[b"payload"] for entry in entries(stored)] == [data, data]


def _json_with_hex_ids(message: ExportLogsServiceRequest) -> bytes:
    tree = json.loads(_json(message.SerializeToString()))
    record = tree["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    record["traceId"], record["spanId"] = (b"t" * 16).hex(), (b"s" * 8).hex()
    record["severityNumber"] = 24
    return json.dumps(tree).encode()
