"""Both ways in give the same records, and the direct one stands back when it must."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from google.protobuf.json_format import MessageToDict

GOLDEN = Path(__file__).with_name("golden_program.py")
STACKTRACE = "exception.stacktrace"
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}")
_IDS = ("thread.id",)


def normal(value):
    """*value* without what differs from run to run."""
    if isinstance(value, str):
        return _ADDRESS.sub("0x", value)
    if isinstance(value, list):
        return [normal(one) for one in value]
    if isinstance(value, dict):
        return {name: normal(one) for name, one in value.items()}
    return value


def simple(record) -> dict:
    """A record as plain data, its attributes by name."""
    found = MessageToDict(record)
    created, observed = (
        found.pop(n, None) for n in ("timeUnixNano", "observedTimeUnixNano")
    )
    found["observed at once"] = created == observed
    found["time"] = (
        "now" if created and len(created) == 19 and created > "1705" else created
    )
    pairs = found.pop("attributes", [])
    found["attributes"] = {
        pair.get("key", ""): normal(pair.get("value")) for pair in pairs
    }
    assert len(found["attributes"]) == len(pairs), [p.get("key") for p in pairs]
    found["body"] = normal(found.get("body"))
    found["ids"] = len(record.trace_id), len(record.span_id)
    del_ids = [found.pop(name, None) for name in ("traceId", "spanId")]
    assert (del_ids[0] is None) == (del_ids[1] is None)
    thread = found["attributes"].get("thread.id", {}).get("intValue")
    if thread and len(thread) > 12:
        found["attributes"]["thread.id"] = "a thread"
    return found


def by_logger(server) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for request in server.requests():
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                records = found.setdefault(scope.scope.name, [])
                records += [simple(record) for record in scope.log_records]
    return found


def run_golden(server, folder, direct: bool, **variables: str):
    with redis.Redis(port=server.port) as client:
        client.flushall()
    done = subprocess.run(
        [sys.executable, GOLDEN, "configure"],
        env={
            **os.environ, "GODOT_REDIS_URL": server.url, "OTEL_SERVICE_NAME": "golden",
            "OTEL_EXPORTER_GODOT_DIRECT": str(direct).lower(), **variables,
        },
        capture_output=True, text=True, timeout=60, cwd=folder,
    )  # fmt: skip # process
    assert done.returncode == 0, done.stderr
    return by_logger(server), done.stderr


LIMITS = {
    "default": {},
    "seven attributes": {"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "7"},
    "no attributes": {"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "0"},
    "few and short": {
        "OTEL_ATTRIBUTE_COUNT_LIMIT": "3", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "4",
    },
    "correlation": {
        "OTEL_PYTHON_LOG_CORRELATION": "true", "OTEL_PYTHON_LOG_CODE_ATTRIBUTES": "true"
    },
}  # fmt: skip # a table


@pytest.mark.parametrize("limits", LIMITS)
def test_both_ways_give_the_same_records(limits, server, tmp_path):
    direct, said = run_golden(server, tmp_path, True, **LIMITS[limits])
    standard, _ = run_golden(server, tmp_path, False, **LIMITS[limits])
    differing = {
        name: (direct.get(name), standard.get(name))
        for name in direct | standard
        if direct.get(name) != standard.get(name)
    }
    assert differing == {}
    assert sum(map(len, direct.values())) > 200
    # The SDK says through logging what it drops; the direct way has it done quietly.
    assert "Attributes dict is full" not in said
    assert "exceeds max length" not in said


def test_a_traceback_reads_as_python_prints_it(server, tmp_path):
    found, _ = run_golden(server, tmp_path, True)
    tracebacks = json.loads((tmp_path / "tracebacks.json").read_text())
    assert len(tracebacks) > 15
    for name, expected in tracebacks.items():
        for logger in (f"case.{name}", f"case.{name}.instance"):
            (record,) = found[logger]
            text = record["attributes"][STACKTRACE]["stringValue"]
            if name in ("exception.many_lines", "exception.secret"):
                continue  # cut, and without its secret
            assert text == normal(expected.encode("utf-8", "replace").decode()), name


SECOND_PROCESSOR = """
    import logging, json
    from godot_otel_exporter import configure
    configure()
    from opentelemetry._logs import get_logger_provider
    from opentelemetry.sdk._logs.export import (
        InMemoryLogRecordExporter, SimpleLogRecordProcessor
    )
    log = logging.getLogger("a")
    log.info("before")
    second = InMemoryLogRecordExporter()
    get_logger_provider().add_log_record_processor(SimpleLogRecordProcessor(second))
    log.info("one"); log.error("two")
    print(json.dumps([r.log_record.body for r in second.get_finished_logs()]))
"""


@pytest.mark.parametrize("direct", ["true", "false"])
def test_a_processor_added_later_has_every_record_from_then_on_and_ours_too(
    direct, server, program
):
    done = program(
        SECOND_PROCESSOR,
        GODOT_REDIS_URL=server.url,
        OTEL_EXPORTER_GODOT_DIRECT=direct,
    )
    assert (done.returncode, done.stderr) == (0, "two\n")
    assert json.loads(done.stdout) == ["one", "two"]
    assert server.bodies() == ["before", "one", "two"]


def test_a_processor_that_logs_is_no_endless_loop(server, program):
    done = program(
        """
        import logging
        from godot_otel_exporter import configure
        configure()
        from opentelemetry._logs import get_logger_provider
        from opentelemetry.sdk._logs import LogRecordProcessor
        class Chatty(LogRecordProcessor):
            def on_emit(self, record):
                logging.getLogger("chatty").warning("took %s", record.log_record.body)
            def shutdown(self): pass
            def force_flush(self, timeout_millis=0): return True
        get_logger_provider().add_log_record_processor(Chatty())
        logging.getLogger("a").info("one")
        logging.getLogger("a").info("two")
        """,
        GODOT_REDIS_URL=server.url,
    )
    assert (done.returncode, done.stderr) == (0, "took one\ntook two\n")
    assert server.bodies() == ["one", "two"]


def test_two_exporters_have_the_same_records(server, program):
    done = program(
        """
        import logging
        from godot_otel_exporter import configure
        configure()
        logging.getLogger("a").info("hello")
        logging.getLogger("a").warning("printed")
        """,
        GODOT_REDIS_URL=server.url,
        OTEL_LOGS_EXPORTER="godot,console",
    )
    assert (done.returncode, done.stderr) == (0, "printed\n")
    assert re.findall(r'"body": "(\w+)"', done.stdout) == ["hello", "printed"]
    assert server.bodies() == ["hello", "printed"]


@pytest.mark.parametrize("exporters", ["godot", "godot,console"])
@pytest.mark.parametrize("direct", ["true", "false"])
def test_the_logs_api_and_events_arrive_between_log_calls_in_order(
    exporters, direct, server, program
):
    done = program(
        """
        import logging
        from godot_otel_exporter import configure
        configure()
        from opentelemetry._logs import get_logger, LogRecord, SeverityNumber
        log, api = logging.getLogger("a"), get_logger("a", "1.2")
        log.info("first")
        api.emit(LogRecord(body={"k": [1]}, severity_number=SeverityNumber.INFO2,
                           attributes={"password": "x"}))
        log.info("third", extra={"otel.event.name": "login"})
        api.emit(event_name="logout", body="fourth")
        """,
        GODOT_REDIS_URL=server.url,
        OTEL_LOGS_EXPORTER=exporters,
        OTEL_EXPORTER_GODOT_DIRECT=direct,
    )
    assert (done.returncode, done.stderr) == (0, "")
    records = server.records()
    assert len(records) == 4
    by_event = {record.event_name: record.body.string_value for record in records}
    assert by_event["login"] == "third"
    assert by_event["logout"] == "fourth"
    (api,) = (record for record in records if record.body.HasField("kvlist_value"))
    assert api.severity_number == 10
    assert api.attributes[0].value.string_value == "[REDACTED]"


@pytest.mark.parametrize("direct", ["true", "false"])
def test_batches_are_as_large_and_as_frequent_as_opentelemetrys_variables_say(
    direct, server, program
):
    done = program(
        """
        import logging, time
        from godot_otel_exporter import configure
        configure()
        for n in range(25): logging.getLogger("a").info("n %d", n)
        time.sleep(1.5)
        started = time.time()
        logging.getLogger("a").info("%r", started)
        time.sleep(1.5)
        print(started)
        """,
        GODOT_REDIS_URL=server.url,
        OTEL_EXPORTER_GODOT_DIRECT=direct,
        OTEL_BLRP_MAX_EXPORT_BATCH_SIZE="10",
        OTEL_BLRP_SCHEDULE_DELAY="700",
    )
    assert (done.returncode, done.stderr) == (0, "")
    with redis.Redis(port=server.port) as client:
        entries = client.xrange("godot:{0}:batches")
    sizes = [int(fields[b"records"]) for _, fields in entries]
    assert [size for size in sizes if size] == [10, 10, 5, 1]
    arrived = int(entries[-1][0].partition(b"-")[0]) / 1000
    assert 0.65 < arrived - float(done.stdout) < 1.4


@pytest.mark.parametrize("direct", ["true", "false"])
def test_what_a_full_queue_in_memory_refuses_is_counted_exactly(
    direct, server, program
):
    done = program(
        """
        import logging, sys
        from godot_otel_exporter import configure
        configure()
        sys.setswitchinterval(5)
        log = logging.getLogger("a")
        for n in range(5000): log.info("n %d", n)
        sys.setswitchinterval(0.005)
        log.info("the last")
        """,
        GODOT_REDIS_URL=server.url,
        OTEL_EXPORTER_GODOT_DIRECT=direct,
        OTEL_BLRP_MAX_QUEUE_SIZE="100",
    )
    assert (done.returncode, done.stderr) == (0, "")
    source = json.loads(server.entries()[-1][b"source"])
    stored = len(server.records())
    assert source["emitted"] == 5001
    assert source["emitted"] == stored + source["dropped"].get("queue_full", 0)
    assert set(source["dropped"]) <= {"queue_full"}


def test_when_opentelemetry_is_disabled_nothing_is_contacted_or_started(program):
    source = """
        import logging, threading
        from godot_otel_exporter import configure
        configure()
        logging.getLogger("a").info("not printed")
        logging.getLogger("a").warning("printed")
        print(threading.active_count(), logging.getLogger().handlers)
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = program(
            source,
            GODOT_REDIS_URL=f"redis://127.0.0.1:{listener.getsockname()[1]}",
            OTEL_SDK_DISABLED="true",
        )
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert (done.returncode, done.stderr) == (0, "printed\n")
    assert done.stdout == "1 []\n"


@pytest.mark.parametrize("direct", ["true", "false"])
@pytest.mark.parametrize("level", ["error", "ERROR"])
def test_the_handlers_level_holds(level, direct, server, program):
    done = program(
        """
        import logging
        from godot_otel_exporter import configure
        configure()
        for level in (20, 30, 40): logging.getLogger("a").log(level, "at %d", level)
        """,
        GODOT_REDIS_URL=server.url,
        OTEL_EXPORTER_GODOT_DIRECT=direct,
        OTEL_PYTHON_LOG_HANDLER_LEVEL=level,
    )
    assert (done.returncode, done.stderr) == (0, "at 30\nat 40\n")
    assert server.bodies() == ["at 40"]


def test_without_the_logging_instrumentation_only_the_logs_api_is_exported(
    server, program
):
    done = program(
        """
        import logging
        from godot_otel_exporter import configure
        configure()
        from opentelemetry._logs import get_logger
        logging.getLogger("a").info("hello")
        logging.getLogger("a").warning("printed")
        get_logger("a").emit(body="by the API")
        """,
        GODOT_REDIS_URL=server.url,
        OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION="false",
    )
    assert (done.returncode, done.stderr) == (0, "printed\n")
    assert server.bodies() == ["by the API"]
