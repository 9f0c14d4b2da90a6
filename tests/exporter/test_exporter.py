from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time

import pytest
import redis
from opentelemetry._logs import LogRecord
from opentelemetry.context import get_value
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from godot_otel import state
from godot_otel.errors import RetryableError, SettingError
from godot_otel.queue import Producer
from godot_otel_exporter import endpoint, sender
from godot_otel_exporter.exporter import GodotLogRecordExporter
from godot_otel_exporter.spool import batch_file

SUCCESS, FAILURE = LogRecordExportResult.SUCCESS, LogRecordExportResult.FAILURE
RESOURCE = Resource({"service.name": "shop"})


def records(*bodies: str) -> list[ReadableLogRecord]:
    return [ReadableLogRecord(LogRecord(body=body), RESOURCE) for body in bodies]


def source(entry) -> dict:
    return json.loads(entry[b"source"])


def with_records(server) -> list[dict[bytes, bytes]]:
    """The queue's entries without those that bring counters alone."""
    return [entry for entry in server.entries() if entry[b"records"] != b"0"]


def counts(exporter) -> dict:
    counters = exporter._sender.counters
    return {
        "emitted": counters.emitted, "spooled": counters.spooled,
        "dropped": dict(counters.dropped),
    }  # fmt: skip


def waiting(exporter) -> list[str]:
    """The bodies of the records that wait on disk, oldest first."""
    bodies: list[str] = []
    for file in sorted(exporter._sender.spool.folder.glob("*.batch")):
        with contextlib.suppress(FileNotFoundError):  # sent meanwhile
            payload = batch_file.unpack(file.read_bytes()).payload
            request = ExportLogsServiceRequest.FromString(payload)
            bodies += [
                record.body.string_value
                for resource in request.resource_logs
                for scope in resource.scope_logs
                for record in scope.log_records
            ]
    return bodies


def eventually(holds, seconds: float = 10) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it did not come true"
        time.sleep(0.02)


def link_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "godot-otel-link"]


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
        "emitted": 2, "spooled": 0, "dropped": {},
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


def test_without_a_queue_records_wait_on_disk_and_it_is_said_once(said, exporter_of):
    exporter = exporter_of()
    started = time.monotonic()
    assert exporter.export(records("a", "b")) is SUCCESS
    assert exporter_of().export(records("c")) is SUCCESS
    assert time.monotonic() - started < 1
    assert counts(exporter) == {"emitted": 2, "spooled": 2, "dropped": {}}
    assert waiting(exporter) == ["a", "b", "c"]
    (line,) = said
    assert "`godot-otel up`" in line
    assert str(exporter._sender.spool.folder) in line


def test_what_waits_on_disk_is_sent_when_a_stack_starts(
    server, exporter_of, environment, tmp_path
):
    environment.setenv("GODOT_DATA_DIR", str(tmp_path))
    exporter = exporter_of()
    assert exporter.export(records("early")) is SUCCESS
    state.write(tmp_path, {"redis_url": server.url})
    eventually(lambda: server.bodies() == ["early"])
    eventually(lambda: not waiting(exporter))
    assert exporter.export(records("later")) is SUCCESS
    assert server.bodies() == ["early", "later"]
    early, later = map(source, with_records(server))
    assert (early["emitted"], early["spooled"]) == (1, 0)
    assert (later["emitted"], later["spooled"], later["dropped"]) == (2, 1, {})


def test_what_another_process_left_on_disk_is_sent(server, exporter_of):
    assert exporter_of().export(records("of the first")) is SUCCESS
    exporter_of(endpoint=server.url).start()
    eventually(lambda: server.bodies() == ["of the first"])


def test_a_stack_that_moved_is_found_again(
    server, mortal, exporter_of, environment, tmp_path
):
    environment.setenv("GODOT_DATA_DIR", str(tmp_path))
    state.write(tmp_path, {"redis_url": mortal.url})
    exporter = exporter_of()
    assert exporter.export(records("first")) is SUCCESS
    mortal.stop()
    state.remove(tmp_path)
    assert exporter.export(records("second")) is SUCCESS
    state.write(tmp_path, {"redis_url": server.url})
    eventually(lambda: server.bodies() == ["second"])


def test_a_queue_that_was_restarted_takes_the_next_batch_at_once(
    mortal, exporter_of, said
):
    exporter = exporter_of(endpoint=mortal.url)
    assert exporter.export(records("a")) is SUCCESS
    mortal.stop()
    mortal.start()
    assert exporter.export(records("b")) is SUCCESS
    assert mortal.bodies()[0] == "b"
    assert counts(exporter)["spooled"] == 0
    assert said == []


def test_who_logs_amid_a_look_for_the_queue_waits_for_nobody(
    server, exporter_of, monkeypatch
):
    """As a finalizer does when garbage is collected there, with its locks held."""
    exporter = exporter_of(endpoint=server.url)
    pending, resolve = [records("finalizer")], sender.resolve

    def logging(*arguments):
        if pending:
            exporter.export(pending.pop())
        return resolve(*arguments)

    monkeypatch.setattr(sender, "resolve", logging)
    exporting = threading.Thread(
        target=exporter.export, args=[records("application")], daemon=True
    )
    exporting.start()
    exporting.join(10)
    assert not exporting.is_alive()
    assert sorted(server.bodies()) == ["application", "finalizer"]


def test_batches_wait_on_disk_while_the_queue_is_away_and_arrive_in_order(
    mortal, exporter_of, said
):
    exporter = exporter_of(endpoint=mortal.url)
    assert exporter.export(records("a")) is SUCCESS
    mortal.stop()
    started = time.monotonic()
    for number in range(5):
        assert exporter.export(records(f"away {number}")) is SUCCESS
        time.sleep(0.002)  # ids, and so the files' names, order by milliseconds
    assert time.monotonic() - started < 1
    assert len(waiting(exporter)) == 5
    eventually(lambda: exporter._sender._failures > 1)
    mortal.start()
    eventually(lambda: not waiting(exporter))
    away = [f"away {number}" for number in range(5)]
    assert mortal.bodies() == ["a", *away]  # the server has forgotten the first
    first, second = said
    assert first.startswith("the queue cannot be used: ConnectionError; batches go to")
    assert second == "the queue takes batches again"


def test_batches_wait_on_disk_while_the_queue_is_full(server, exporter_of, said):
    exporter = exporter_of(endpoint=server.url)
    server.set_limit(max_records=1)
    assert exporter.export(records("a")) is SUCCESS
    started = time.monotonic()
    assert exporter.export(records("b")) is SUCCESS
    assert exporter.export(records("c")) is SUCCESS
    assert time.monotonic() - started < 0.5
    assert waiting(exporter) == ["b", "c"]
    time.sleep(1)
    assert server.bodies() == ["a"]
    server.set_limit(max_records=9)
    eventually(lambda: server.bodies() == ["a", "b", "c"])
    assert counts(exporter) == {"emitted": 3, "spooled": 2, "dropped": {}}
    assert said[0].startswith("the queue is full (records); batches go to /")
    assert len(said) <= 2


def test_a_queue_that_is_full_is_not_hammered(server, exporter_of, monkeypatch, said):
    attempts, admit = [], Producer.admit

    def watched(self, entry):
        if entry.records:
            attempts.append(time.monotonic())
        return admit(self, entry)

    monkeypatch.setattr(Producer, "admit", watched)
    exporter = exporter_of(endpoint=server.url)
    server.set_limit(max_records=0)
    for number in range(20):
        assert exporter.export(records(str(number))) is SUCCESS
    time.sleep(3)
    assert 3 <= len(attempts) <= 6  # at once, and after 0.25, 0.5, 1, 2 s
    server.set_limit(max_records=100)
    eventually(lambda: len(server.bodies()) == 20)
    assert said[1:] == ["the queue takes batches again"]


@pytest.mark.parametrize("timeout", [0.3, 1.0, 10.0])
def test_a_queue_that_does_not_answer_holds_one_export_and_briefly(
    timeout, exporter_of, said
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        exporter = exporter_of(endpoint=url, timeout=timeout)
        started = time.monotonic()
        assert exporter.export(records("a")) is SUCCESS
        assert time.monotonic() - started < min(timeout, 2.0) + 0.5
        started = time.monotonic()
        assert exporter.export(records("b")) is SUCCESS
        assert time.monotonic() - started < 0.2
        assert waiting(exporter) == ["a", "b"]


def test_a_queue_that_is_stopped_and_goes_on_has_every_record(
    mortal, exporter_of, said
):
    exporter = exporter_of(endpoint=mortal.url)
    assert exporter.export(records("before")) is SUCCESS
    mortal.process.send_signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        for number in range(3):
            assert exporter.export(records(f"stopped {number}")) is SUCCESS
        assert time.monotonic() - started < 3
    finally:
        mortal.process.send_signal(signal.SIGCONT)
    eventually(lambda: not waiting(exporter))
    # The server may have taken the first after all: the ledger knows it by its id.
    entries = with_records(mortal)
    assert len({entry[b"id"] for entry in entries}) == 4
    assert set(mortal.bodies()) == {"before", *(f"stopped {n}" for n in range(3))}


def test_a_wrong_password_is_said_without_it_and_nothing_is_lost(
    mortal, exporter_of, said
):
    with redis.Redis(port=mortal.port) as client:
        client.config_set("requirepass", "right")
        url = mortal.url.replace("//", "//:wr0ng@")
        exporter = exporter_of(endpoint=url)
        assert exporter.export(records("a")) is SUCCESS
        assert waiting(exporter) == ["a"]
        (line,) = said
        assert line.startswith("the queue refused the user or password; batches go")
        assert "wr0ng" not in line
        client.config_set("requirepass", "wr0ng")
    eventually(lambda: not waiting(exporter))
    with redis.Redis(port=mortal.port, password="wr0ng") as client:
        client.config_set("requirepass", "")
    assert mortal.bodies() == ["a"]


def test_a_batch_keeps_its_id_through_every_attempt_and_the_disk(
    server, exporter_of, monkeypatch
):
    ids, admit = [], Producer.admit

    def lossy(self, entry):
        admitted = admit(self, entry)
        if entry.records:  # others bring counters
            ids.append(entry.id)
        if len(ids) < 4:
            raise RetryableError("the answer was lost")
        return admitted

    monkeypatch.setattr(Producer, "admit", lossy)
    exporter = exporter_of(endpoint=server.url)
    assert exporter.export(records("a")) is SUCCESS
    assert len(ids) == 2
    eventually(lambda: not waiting(exporter))
    assert len(ids) == 4
    assert {entry[b"id"] for entry in with_records(server)} == set(ids)
    assert len(set(ids)) == 1


def test_a_queue_that_is_away_is_not_hammered(exporter_of, said):
    connections = 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        exporter = exporter_of(endpoint=f"redis://127.0.0.1:{port}")
        listener.settimeout(0.1)
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.01):
                assert exporter.export(records("a")) is SUCCESS

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        ends = time.monotonic() + 4
        while time.monotonic() < ends:
            with contextlib.suppress(TimeoutError):
                listener.accept()[0].close()
                connections += 1
        stop.set()
        for thread in threads:
            thread.join()
    # Four threads at the first moment, then one that asks after 0.25, 0.5, 1, 2 s.
    assert 2 <= connections <= 16
    assert counts(exporter)["emitted"] == counts(exporter)["spooled"] > 20
    assert len(said) == 1


def test_without_queue_and_disk_records_are_lost_counted_and_printed(
    exporter_of, said, tmp_path, capfd
):
    (tmp_path / "file").touch()
    exporter = exporter_of(spool_dir=tmp_path / "file" / "spool")
    assert exporter.export(records("a", "b")) is FAILURE
    dropped = {"spool_unusable": 2}
    assert counts(exporter) == {"emitted": 2, "spooled": 0, "dropped": dropped}
    printed = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["body"] for line in printed] == ["a", "b"]
    assert [line for line in said if str(tmp_path / "file") in line]


def test_the_oldest_are_lost_counted_and_printed_when_the_disk_is_full(
    exporter_of, said, capfd
):
    exporter = exporter_of(spool_max_bytes=20_000)
    for number in range(5):
        assert exporter.export(records(str(number) * 6000)) is SUCCESS
    found = counts(exporter)
    lost = found["dropped"]["spool_full"]
    assert (found["emitted"], found["spooled"]) == (5, 5)
    assert len(waiting(exporter)) + lost == 5
    assert [body[0] for body in waiting(exporter)] == list("01234")[lost:]
    printed = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["body"][0] for line in printed] == list("01234")[:lost]


def test_shutdown_with_the_queue_away_is_quick_and_loses_nothing(exporter_of, said):
    exporter = exporter_of(endpoint="redis://127.0.0.1:1")
    exporter.forward(records("a"))
    exporter.forward(records("b"))
    started = time.monotonic()
    exporter.shutdown()
    assert time.monotonic() - started < 1
    assert waiting(exporter) == ["a", "b"]


def test_shutdown_waits_for_a_queue_that_hangs_no_longer_than_it_may(exporter_of, said):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        exporter = exporter_of(endpoint=f"redis://127.0.0.1:{silent.getsockname()[1]}")
        exporter.forward(records("a"))
        exporter.forward(records("b"))
        time.sleep(0.1)
        started = time.monotonic()
        exporter.shutdown(timeout_millis=300)
        assert time.monotonic() - started < 0.6
        assert set(waiting(exporter)) == {"a", "b"}
        eventually(lambda: not link_threads())


def test_shutdown_lets_what_is_on_its_way_arrive(server, exporter_of):
    exporter = exporter_of(endpoint=server.url)
    bodies = [str(number) for number in range(4)]
    for body in bodies:
        exporter.forward(records(body))
    exporter.shutdown()
    assert server.bodies() == bodies
    assert not exporter.pending()


@pytest.mark.parametrize("timeout_millis", [0, 5000])
def test_shutdown_ends_the_thread_and_a_later_export_works(
    timeout_millis, server, exporter_of
):
    exporter = exporter_of(endpoint=server.url)
    for number in range(3):
        assert exporter.export(records(str(number))) is SUCCESS
        exporter.shutdown(timeout_millis=timeout_millis)
        eventually(lambda: not link_threads())
    # Without a timeout the last may be on disk: its connection was closed under it.
    assert server.bodies() + waiting(exporter) == ["0", "1", "2"]
    assert exporter.export(records("3")) is SUCCESS
    eventually(lambda: sorted(server.bodies()) == ["0", "1", "2", "3"])
    assert exporter.force_flush()
    exporter.shutdown()


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
    assert len(set(server.bodies())) == len(server.bodies()) == 160
    assert counts(exporter) == {"emitted": 160, "spooled": 0, "dropped": {}}


def in_child(work) -> int:
    """Run *work* in a forked child, which must succeed; returns the child's pid."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    return child


def test_a_forked_child_is_another_instance_with_its_own_connection(
    server, exporter_of
):
    exporter = exporter_of(endpoint=server.url)
    exporter.export(records("before"))
    child = in_child(lambda: exporter.export(records("child")) is SUCCESS)
    assert exporter.export(records("after")) is SUCCESS
    before, of_child, after = map(source, with_records(server))
    assert before["instance"] == after["instance"] != of_child["instance"]
    assert (of_child["emitted"], after["emitted"]) == (1, 2)
    assert of_child["pid"] == child
    assert of_child["service"] == "shop"


def test_parent_and_forked_children_share_what_waits_on_disk(mortal, exporter_of, said):
    exporter = exporter_of(endpoint=mortal.url)
    mortal.stop()
    assert exporter.export(records("parent")) is SUCCESS
    for number in range(3):
        in_child(lambda n=number: exporter.export(records(f"child {n}")) is SUCCESS)
    mortal.start()
    eventually(lambda: not waiting(exporter))
    assert sorted(mortal.bodies()) == ["child 0", "child 1", "child 2", "parent"]


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


def test_nothing_escapes_from_an_export_and_the_loss_is_counted(
    exporter_of, monkeypatch, said
):
    monkeypatch.setattr("godot_otel_exporter.exporter.encode", lambda *a: 1 / 0)
    exporter = exporter_of()
    assert exporter.export(records("a", "b")) is FAILURE
    dropped = {"internal": 2}
    assert counts(exporter) == {"emitted": 2, "spooled": 0, "dropped": dropped}
    assert said == ["exporting failed: ZeroDivisionError"]
