from __future__ import annotations

import json
import os
import socket
import threading
import time

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.context import get_value
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from godot_otel import state
from godot_otel.errors import SettingError
from godot_otel.queue import Producer
from godot_otel_exporter import endpoint
from godot_otel_exporter.exporter import GodotLogRecordExporter

SUCCESS, FAILURE = LogRecordExportResult.SUCCESS, LogRecordExportResult.FAILURE
RESOURCE = Resource({"service.name": "shop"})


def records(*bodies: str) -> list[ReadableLogRecord]:
    return [ReadableLogRecord(LogRecord(body=body), RESOURCE) for body in bodies]


def source(entry) -> dict:
    return json.loads(entry[b"source"])


def test_one_export_is_one_entry(server, exporter_of):
    exporter = exporter_of(endpoint=server.url)
    assert exporter.export(records("a", "b")) is SUCCESS
    assert exporter.export(records("c")) is SUCCESS
    first, second = server.entries()
    assert (first[b"v"], first[b"signal"], first[b"records"]) == (b"1", b"logs", b"2")
    assert len(first[b"id"]) == 16
    assert first[b"id"] != second[b"id"]
    assert first[b"encoding"] == b""
    assert source(first) == {
        "instance": source(second)["instance"], "service": "shop", "pid": os.getpid(),
        "emitted": 2, "dropped": {},
    }  # fmt: skip
    assert source(second)["emitted"] == 3
    assert server.bodies() == ["a", "b", "c"]


def test_gzip_is_said_in_the_entry(server, exporter_of):
    exporter = exporter_of(endpoint=server.url, compression="gzip")
    exporter.export(records("x" * 9000))
    (entry,) = server.entries()
    assert entry[b"encoding"] == b"gzip"
    assert len(entry[b"payload"]) < 1000
    assert server.bodies() == ["x" * 9000]


def test_constructing_contacts_nobody_and_starts_no_thread(exporter_of):
    before = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        exporter_of(endpoint=f"redis://127.0.0.1:{listener.getsockname()[1]}")
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert threading.active_count() == before


def test_arguments_are_checked_by_name_and_value():
    with pytest.raises(TypeError, match=r"takes endpoint, timeout, .* not stream, url"):
        GodotLogRecordExporter(url="x", stream="y")
    with pytest.raises(SettingError, match="no Redis URL") as caught:
        GodotLogRecordExporter(endpoint="http://:secret@host")
    assert "secret" not in str(caught.value)
    with pytest.raises(SettingError, match="timeout"):
        GodotLogRecordExporter(timeout=0)
    with pytest.raises(SettingError, match="zstd"):
        GodotLogRecordExporter(compression="zstd")


def test_a_malformed_variable_is_said_once_and_its_default_used(
    environment, said, exporter_of
):
    environment.setenv("OTEL_EXPORTER_GODOT_TIMEOUT", "soon")
    environment.setenv("OTEL_EXPORTER_GODOT_TIMEUOT", "5")
    assert exporter_of()._sender.timeout == 10
    exporter_of()
    assert len(said) == 2
    assert "OTEL_EXPORTER_GODOT_TIMEUOT is no setting" in said[0]
    assert "OTEL_EXPORTER_GODOT_TIMEOUT: 'soon'" in said[1]


def test_milliseconds_in_the_environment_are_seconds_in_python(
    environment, exporter_of
):
    environment.setenv("OTEL_EXPORTER_GODOT_TIMEOUT", "3000")
    assert exporter_of()._sender.timeout == 3
    environment.setenv("OTEL_EXPORTER_GODOT_LOGS_TIMEOUT", "500")
    assert exporter_of()._sender.timeout == 0.5
    assert exporter_of(timeout=2)._sender.timeout == 2


def test_the_endpoint_is_the_first_of_argument_variables_and_stack(
    environment, tmp_path
):
    assert endpoint.resolve() is None
    default = tmp_path / "home" / "data" / "godot-otel"
    default.mkdir(parents=True)
    state.write(default, {"redis_url": "redis://default"})
    assert endpoint.resolve() == "redis://default"
    environment.setenv("GODOT_DATA_DIR", str(tmp_path))
    assert endpoint.resolve() is None
    state.write(tmp_path, {"redis_url": "redis://own"})
    assert endpoint.resolve() == "redis://own"
    for name in (
        "GODOT_REDIS_URL", "OTEL_EXPORTER_GODOT_ENDPOINT",
        "OTEL_EXPORTER_GODOT_LOGS_ENDPOINT",
    ):  # fmt: skip
        environment.setenv(name, f"redis://{name.lower().replace('_', '-')}")
        assert endpoint.resolve() == f"redis://{name.lower().replace('_', '-')}"
    assert endpoint.resolve("redis://argument") == "redis://argument"


def test_a_url_is_printed_without_its_password():
    assert endpoint.without_password("rediss://u:p%40ss@h:1/2?x=p") == "rediss://h:1/2"


def test_without_a_queue_records_are_dropped_counted_and_said_once(said, exporter_of):
    exporter = exporter_of()
    started = time.monotonic()
    assert exporter.export(records("a", "b")) is FAILURE
    assert exporter_of().export(records("c")) is FAILURE
    assert time.monotonic() - started < 1
    assert exporter._sender.dropped == {"no_endpoint": 2}
    assert len(said) == 1
    assert "godot-otel up" in said[0]


def test_a_stack_started_later_is_found(server, exporter_of, environment, tmp_path):
    environment.setenv("GODOT_DATA_DIR", str(tmp_path))
    exporter = exporter_of()
    assert exporter.export(records("lost")) is FAILURE
    state.write(tmp_path, {"redis_url": server.url})
    assert exporter.export(records("kept")) is SUCCESS
    (entry,) = server.entries()
    assert source(entry)["dropped"] == {"no_endpoint": 1}


def test_a_stack_that_moved_is_found_again(
    server, mortal, exporter_of, environment, tmp_path
):
    environment.setenv("GODOT_DATA_DIR", str(tmp_path))
    state.write(tmp_path, {"redis_url": mortal.url})
    exporter = exporter_of()
    assert exporter.export(records("first")) is SUCCESS
    mortal.stop()
    state.remove(tmp_path)
    timer = threading.Timer(0.7, state.write, (tmp_path, {"redis_url": server.url}))
    timer.start()
    assert exporter.export(records("second")) is SUCCESS
    timer.join()
    assert server.bodies() == ["second"]


def test_an_export_waits_for_a_queue_that_comes_back(mortal, exporter_of, said):
    exporter = exporter_of(endpoint=mortal.url)
    assert exporter.export(records("a")) is SUCCESS
    mortal.stop()
    timer = threading.Timer(0.7, mortal.start)
    timer.start()
    assert exporter.export(records("b")) is SUCCESS
    timer.join()
    assert mortal.bodies() == ["b"]
    assert len(said) == 2
    assert said[1] == "the queue takes log records again"


def test_an_export_waits_while_the_queue_is_full(server, exporter_of, said):
    exporter = exporter_of(endpoint=server.url)
    server.set_limit(max_records=1)
    assert exporter.export(records("a")) is SUCCESS
    timer = threading.Timer(0.5, server.set_limit, (), {"max_records": 9})
    timer.start()
    started = time.monotonic()
    assert exporter.export(records("b")) is SUCCESS
    assert time.monotonic() - started > 0.4
    timer.join()
    assert said == [
        "the queue is full (records); waiting",
        "the queue takes log records again",
    ]


def test_at_the_deadline_a_batch_is_dropped_and_counted(server, exporter_of, said):
    exporter = exporter_of(endpoint=server.url, timeout=0.5)
    server.set_limit(max_records=1)
    started = time.monotonic()
    assert exporter.export(records("a", "b")) is FAILURE
    assert 0.4 < time.monotonic() - started < 1
    server.set_limit(max_records=100)
    assert exporter.export(records("c")) is SUCCESS
    assert source(server.entries()[0])["dropped"] == {"timeout": 2}


@pytest.mark.parametrize("timeout", [0.3, 1.0])
def test_a_queue_that_does_not_answer_cannot_hold_longer_than_the_timeout(
    timeout, exporter_of, said
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        exporter = exporter_of(endpoint=url, timeout=timeout)
        started = time.monotonic()
        assert exporter.export(records("a")) is FAILURE
        assert time.monotonic() - started < timeout + 0.5
    assert exporter._sender.dropped == {"timeout": 1}


def test_a_batch_keeps_its_id_through_every_attempt(server, exporter_of, monkeypatch):
    ids, admit = [], Producer.admit

    def lossy(self, entry):
        ids.append(entry.id)
        admitted = admit(self, entry)
        if len(ids) < 3:
            raise ConnectionError("the answer was lost")
        return admitted

    monkeypatch.setattr(Producer, "admit", lossy)
    assert exporter_of(endpoint=server.url).export(records("a")) is SUCCESS
    assert len(ids) == 3
    assert {entry[b"id"] for entry in server.entries()} == set(ids)
    assert len(set(ids)) == 1


def test_a_queue_that_is_away_is_not_hammered(exporter_of, monkeypatch, said):
    attempts = []

    def fail(self, entry):
        attempts.append(entry.id)
        raise ConnectionError

    monkeypatch.setattr(Producer, "admit", fail)
    exporter = exporter_of(endpoint="redis://127.0.0.1:1", timeout=2)
    threads = [
        threading.Thread(target=exporter.export, args=(records("a"),)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 4 <= len(attempts) <= 40
    assert len(said) == 1


def test_shutdown_interrupts_an_export_and_refuses_more(exporter_of, said):
    exporter = exporter_of(endpoint="redis://127.0.0.1:1")
    outcome = []
    thread = threading.Thread(
        target=lambda: outcome.append(exporter.export(records("a")))
    )
    thread.start()
    time.sleep(0.3)
    assert not exporter.force_flush(100)
    started = time.monotonic()
    exporter.shutdown(timeout_millis=0)
    thread.join()
    assert time.monotonic() - started < 1
    assert outcome == [FAILURE]
    assert exporter.export(records("b")) is FAILURE
    assert exporter._sender.dropped == {"shutdown": 2}
    assert exporter.force_flush()
    exporter.shutdown()


def test_shutdown_lets_an_export_finish(server, exporter_of):
    server.set_limit(max_records=0)
    exporter = exporter_of(endpoint=server.url)
    thread = threading.Thread(target=exporter.export, args=(records("a"),))
    thread.start()
    time.sleep(0.2)
    timer = threading.Timer(0.3, server.set_limit, (), {"max_records": 9})
    timer.start()
    exporter.shutdown()
    thread.join()
    timer.join()
    assert server.bodies() == ["a"]


def test_many_threads_share_one_exporter(server, exporter_of):
    exporter = exporter_of(endpoint=server.url)

    def work(name: int) -> None:
        for number in range(20):
            assert exporter.export(records(f"{name}-{number}")) is SUCCESS

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(server.bodies())) == 160
    assert exporter._sender.emitted == 160


def test_a_forked_child_is_another_instance_with_its_own_connection(
    server, exporter_of
):
    exporter = exporter_of(endpoint=server.url)
    exporter.export(records("before"))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sent = exporter.export(records("child"))
            code = 0 if sent is SUCCESS else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert exporter.export(records("after")) is SUCCESS
    before, of_child, after = map(source, server.entries())
    assert before["instance"] == after["instance"] != of_child["instance"]
    assert (of_child["emitted"], after["emitted"]) == (1, 2)
    assert of_child["pid"] == child


def test_export_runs_with_instrumentation_suppressed(server, exporter_of, monkeypatch):
    seen = []
    admit = Producer.admit

    def look(self, entry):
        seen.append(get_value("suppress_instrumentation"))
        return admit(self, entry)

    monkeypatch.setattr(Producer, "admit", look)
    exporter_of(endpoint=server.url).export(records("a"))
    assert seen == [True]
    assert get_value("suppress_instrumentation") is None


def test_nothing_escapes_from_an_export(exporter_of, monkeypatch, said):
    monkeypatch.setattr("godot_otel_exporter.exporter.encode", lambda *a: 1 / 0)
    assert exporter_of().export(records("a")) is FAILURE
    assert said == ["exporting failed: ZeroDivisionError"]
