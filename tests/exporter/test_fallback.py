import base64
import gzip
import io
import json
import logging
import os
import subprocess
import sys
import threading
import time

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from godot_otel.queue import Entry, batch_id
from godot_otel_exporter.fallback import Fallback

NOON = 1_700_000_000_123_456_789


def text(pairs, **values: str) -> None:
    for name, value in values.items():
        pair = pairs.add()
        pair.key = name.replace("_", ".")
        pair.value.string_value = value


def request(*bodies: str) -> ExportLogsServiceRequest:
    found = ExportLogsServiceRequest()
    group = found.resource_logs.add()
    text(group.resource.attributes, service_name="shop",
         deployment_environment_name="prod")  # fmt: skip # one resource
    scope = group.scope_logs.add()
    scope.scope.name = "shop.cart"
    for body in bodies:
        record = scope.log_records.add(time_unix_nano=NOON, severity_number=17)
        record.body.string_value = body
        record.trace_id, record.span_id = bytes(range(16)), bytes(range(8))
    return found


def entry(found, *, encoding: bytes = b"", signal: bytes = b"logs") -> Entry:
    payload = found.SerializeToString()
    if encoding == b"gzip":
        payload = gzip.compress(payload)
    return Entry(batch_id(NOON // 1_000_000), signal, 1, payload, encoding)


def objects(shown: str) -> list[dict]:
    return [json.loads(line) for line in shown.splitlines()]


@pytest.mark.parametrize("encoding", [b"", b"gzip"])
def test_a_record_is_an_object_with_the_keys_of_query(encoding, capfd):
    found = request("Zahlung über 5 € \x1b[31m\x9b31m\u202e\nabgelehnt")
    text(found.resource_logs[0].scope_logs[0].log_records[0].attributes, user_id="7")
    Fallback("stderr").write(entry(found, encoding=encoding))
    out, err = capfd.readouterr()
    assert out == ""
    assert err.isascii()
    assert objects(err) == [
        {
            "time": "2023-11-14T22:13:20.123456789Z",
            "service": "shop",
            "environment": "prod",
            "level": "ERROR",
            "severity": 17,
            "logger": "shop.cart",
            "body": "Zahlung über 5 € \x1b[31m\x9b31m\u202e\nabgelehnt",
            "trace_id": "000102030405060708090a0b0c0d0e0f",
            "span_id": "0001020304050607",
            "attributes": {"user.id": "7"},
        }
    ]
    assert "\x1b" not in err


def test_a_bare_record_has_all_keys_and_the_batchs_time(capfd):
    found = ExportLogsServiceRequest()
    found.resource_logs.add().scope_logs.add().log_records.add()
    Fallback("stdout").write(entry(found))
    out, err = capfd.readouterr()
    assert err == ""
    assert objects(out) == [
        {
            "time": "2023-11-14T22:13:20.123000000Z", "service": "unknown_service",
            "environment": "", "level": "", "severity": 0, "logger": "", "body": "",
            "trace_id": None, "span_id": None, "attributes": {},
        }
    ]  # fmt: skip # one object


def test_values_of_every_kind_have_the_form_in_which_they_are_stored(capfd):
    found = request("")
    record = found.resource_logs[0].scope_logs[0].log_records[0]
    record.body.kvlist_value.values.add(key="a").value.int_value = 2**53 + 1
    for name, kind, value in (
        ("double", "double_value", 0.5), ("nan", "double_value", float("nan")),
        ("flag", "bool_value", False), ("bytes", "bytes_value", b"\xff"),
        ("$odd", "string_value", "x"),
    ):  # fmt: skip # a kind beside its value
        setattr(record.attributes.add(key=name).value, kind, value)
    record.attributes.add(key="none").value.SetInParent()
    items = record.attributes.add(key="list").value.array_value.values
    items.add().int_value = 1
    Fallback("stderr").write(entry(found))
    (shown,) = objects(capfd.readouterr().err)
    assert shown["body"] == '{"a": 9007199254740993}'
    assert shown["attributes"] == {
        "double": 0.5, "nan": {"$double": "nan"}, "flag": False, "none": None,
        "bytes": {"$bytes": base64.b64encode(b"\xff").decode()}, "list": [1],
        "$$odd": "x",
    }  # fmt: skip # in any order


@pytest.mark.parametrize(
    ("number", "level"),
    [(0, ""), (1, "TRACE"), (5, "DEBUG"), (12, "INFO"), (13, "WARN"), (24, "FATAL"),
     (25, ""), (-1, "")],
)  # fmt: skip # one table
def test_the_level_is_the_severitys_name(number, level, capfd):
    found = request("x")
    record = found.resource_logs[0].scope_logs[0].log_records[0]
    record.severity_number = number
    Fallback("stderr").write(entry(found))
    (shown,) = objects(capfd.readouterr().err)
    assert (shown["level"], shown["severity"]) == (level, number)


def test_a_span_is_a_line_as_well(capfd):
    found = ExportTraceServiceRequest()
    group = found.resource_spans.add()
    text(group.resource.attributes, service_name="shop")
    scope = group.scope_spans.add()
    scope.scope.name = "shop.cart"
    span = scope.spans.add(
        name="GET /cart", kind=2, trace_id=bytes(range(16)), span_id=bytes(range(8)),
        start_time_unix_nano=NOON, end_time_unix_nano=NOON + 1,
    )  # fmt: skip # one span
    span.status.code, span.status.message = 2, "no"
    text(span.attributes, route="/cart")
    event = span.events.add(name="exception", time_unix_nano=NOON)
    text(event.attributes, type="KeyError")
    Fallback("stderr").write(entry(found, signal=b"traces"))
    (shown,) = objects(capfd.readouterr().err)
    assert shown["name"] == "GET /cart"
    assert shown["span_id"] == "0001020304050607"
    assert (shown["logger"], shown["kind"]) == ("shop.cart", "SERVER")
    assert (shown["status"], shown["status_message"]) == ("ERROR", "no")
    assert shown["attributes"] == {"route": "/cart"}
    assert [(e["name"], e["attributes"]) for e in shown["events"]] == [
        ("exception", {"type": "KeyError"})
    ]
    assert shown["parent_span_id"] is None
    assert (shown["time"][-10:], shown["end"][-10:]) == ("123456789Z", "123456790Z")


def test_none_prints_nothing(capfd):
    Fallback("none").write(entry(request("x")))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("payload", [b"\xff\xff nonsense", b""])
def test_a_payload_that_cannot_be_read_raises_nothing(payload, capfd):
    for encoding in (b"", b"gzip"):
        Fallback("stderr").write(Entry(batch_id(), b"logs", 1, payload, encoding))
    assert capfd.readouterr() == ("", "")


def test_nothing_of_it_goes_through_logging(capfd, caplog):
    caplog.set_level(logging.NOTSET)
    Fallback("stderr").write(entry(request("x")))
    assert caplog.records == []


class Odd(io.StringIO):
    def write(self, _):
        raise RuntimeError("odd")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, closed(), Odd(), object()])
def test_a_stream_that_is_none_closed_or_odd_raises_nothing(stream, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream)
    Fallback("stderr").write(entry(request("x")))


def test_a_stream_in_memory_is_written_to(monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    Fallback("stdout").write(entry(request("ä", "b")))
    assert [one["body"] for one in objects(stream.getvalue())] == ["ä", "b"]


def test_what_the_application_printed_before_comes_before(program):
    done = program("""
        import sys
        sys.path.insert(0, "")
        from godot_otel.queue import Entry, batch_id
        from godot_otel_exporter.fallback import Fallback
        print("total")
        payload = bytes.fromhex("0a06120412022a00")
        Fallback("stdout").write(Entry(batch_id(), b"logs", 1, payload))
        print("end")
    """, PYTHONIOENCODING="ascii")  # fmt: skip # one program
    assert done.stderr == ""
    first, line, last = done.stdout.splitlines()
    assert (first, last) == ("total", "end")
    assert json.loads(line)["attributes"] == {}


def test_a_reader_that_went_away_does_not_change_the_exit_status(tmp_path):
    payload = entry(request("x" * 1000)).payload.hex()
    source = f"""
import os
from godot_otel.queue import Entry, batch_id
from godot_otel_exporter.fallback import Fallback
fallback = Fallback("stdout")
os.read(0, 1)
for _ in range(100):
    fallback.write(Entry(batch_id(), b"logs", 1, bytes.fromhex("{payload}")))
"""
    command = [sys.executable, "-c", source]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        process.stdout.close()
        process.stdin.write(b"x")
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.fixture
def pipe():
    """A pipe: where it is read, and a stream that writes into it."""
    reads, writes = os.pipe()
    stream = os.fdopen(writes, "w", encoding="utf-8")
    yield reads, stream
    os.close(reads)
    stream.close()


def test_a_pipe_that_nobody_reads_is_waited_for_once(pipe, monkeypatch):
    reads, stream = pipe
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr("godot_otel_exporter.fallback._WAIT_SECONDS", 0.3)
    fallback = Fallback("stderr")
    started = time.monotonic()
    for _ in range(20):
        fallback.write(entry(request("x" * 60_000, "y" * 60_000)))
    assert 0.3 <= time.monotonic() - started < 3
    stuck = os.read(reads, 1 << 20)
    fallback.write(entry(request("read again")))
    *_, last = os.read(reads, 1 << 20).decode().splitlines()
    assert json.loads(last)["body"] == "read again"
    assert len(stuck) >= 60_000


def test_lines_of_several_threads_stay_whole(pipe, monkeypatch):
    reads, stream = pipe
    monkeypatch.setattr(sys, "stderr", stream)
    fallback = Fallback("stderr")
    batch = entry(request(*("x" * 1500 for _ in range(20))))
    threads = [
        threading.Thread(target=lambda: [fallback.write(batch) for _ in range(10)])
        for _ in range(4)
    ]
    for one in threads:
        one.start()
    shown = b""
    while shown.count(b"\n") < 800:
        shown += os.read(reads, 1 << 16)
    for one in threads:
        one.join()
    assert {one["body"] for one in objects(shown.decode())} == {"x" * 1500}
