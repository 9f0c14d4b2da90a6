"""Programs whose spans go to the queue: by ``run``, by variables, in code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import redis
from fix_launch import spans

BIN = Path(sys.executable).parent
INSTRUMENT = BIN / "opentelemetry-instrument", sys.executable
SELECTED = {"OTEL_PYTHON_DISTRO": "godot", "OTEL_PYTHON_CONFIGURATOR": "godot"}
PROGRAM = """
    import logging
    CONFIGURE
    from opentelemetry import trace
    tracer = trace.get_tracer("t")
    with tracer.start_as_current_span("work", attributes={"a": 1, "b": "password=x"}):
        logging.getLogger("a").warning("in it")
        tracer.start_span("inner").end()
"""
PLAIN = PROGRAM.replace("CONFIGURE", "pass")
IN_CODE = "from godot_otel_exporter import configure; configure()"


def tree(server) -> tuple[str, list[str]]:
    """The names of a parent and its child, and the span of the one line."""
    inner, work = sorted(server.spans(), key=lambda span: span.name)
    assert inner.parent_span_id == work.span_id
    assert inner.trace_id == work.trace_id
    (record,) = server.records()
    assert (record.trace_id, record.span_id) == (work.trace_id, work.span_id)
    return work.name, [f"{p.key}={p.value}".strip() for p in work.attributes]


def test_run_variables_and_configure_give_the_same_spans(server, program, godot_run):
    found = []
    for source, command, variables in (
        (PLAIN, godot_run, {}),
        (PLAIN, INSTRUMENT, SELECTED),
        (PROGRAM.replace("CONFIGURE", IN_CODE), (), {}),
    ):
        with redis.Redis(port=server.port) as client:
            client.flushall()
        done = program(source, *command, GODOT_REDIS_URL=server.url, **variables)
        assert done.returncode == 0, done.stderr
        found.append(tree(server))
        assert len(spans(server, "shop")) == 2
    assert found[0] == found[1] == found[2]
    assert "REDACTED" in str(found[0])


@pytest.mark.parametrize(
    ("variables", "there"),
    [
        ({"OTEL_TRACES_EXPORTER": "none"}, 0),
        ({"OTEL_TRACES_EXPORTER": "console"}, 0),
        ({"OTEL_TRACES_EXPORTER": "godot,console"}, 2),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, 0),
        ({"OTEL_SDK_DISABLED": "true"}, 0),
        ({"OTEL_LOGS_EXPORTER": "none"}, 2),
        ({"OTEL_TRACES_EXPORTER": "", "OTEL_PYTHON_DISTRO": ""}, 2),
        ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1"}, 2),
    ],
    ids=str,
)
def test_the_users_own_variables_are_obeyed(
    variables, there, server, program, godot_run
):
    done = program(PLAIN, *godot_run, GODOT_REDIS_URL=server.url, **variables)
    assert done.returncode == 0, done.stderr
    found = server.spans()
    assert len(found) == there
    printed = done.stdout.count('"name": "')
    assert printed == (2 if "console" in str(variables) else 0)
    if "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in variables:
        work = next(span for span in found if span.name == "work")
        assert [pair.key for pair in work.attributes] == ["b"]
        assert work.dropped_attributes_count == 1


def test_as_one_exporter_of_somebodys_own_setup(server, program):
    done = program(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from godot_otel_exporter import GodotSpanExporter
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(GodotSpanExporter()))
        trace.set_tracer_provider(provider)
        trace.get_tracer("t").start_span("mine").end()
        """,
        GODOT_REDIS_URL=server.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [span.name for span in server.spans()] == ["mine"]


def test_redis_spans_of_the_application_are_there_and_ours_are_not(
    server, program, godot_run
):
    """An instrumentor of redis makes a span of each command, unless suppressed."""
    done = program(
        """
        import logging, time, redis
        from opentelemetry import trace
        from opentelemetry.instrumentation.utils import is_instrumentation_enabled
        tracer, execute = trace.get_tracer("redis"), redis.Connection.send_command
        def send_command(self, *args, **kwargs):
            if not is_instrumentation_enabled():
                return execute(self, *args, **kwargs)
            with tracer.start_as_current_span(str(args[0])):
                return execute(self, *args, **kwargs)
        redis.Connection.send_command = send_command
        packed = redis.Connection.send_packed_command
        def send_packed_command(self, *args, **kwargs):
            if is_instrumentation_enabled() and b"CLIENT" not in str(args).encode():
                tracer.start_span("packed").end()
            return packed(self, *args, **kwargs)
        import os
        with redis.Redis.from_url(os.environ["GODOT_REDIS_URL"]) as client:
            client.set("mine", 1)
        redis.Connection.send_packed_command = send_packed_command
        logging.getLogger("a").error("a line")
        time.sleep(1.5)  # levels and presence as well
        logging.getLogger("a").error("another")
        """,
        *godot_run,
        GODOT_REDIS_URL=server.url,
    )
    assert done.returncode == 0, done.stderr
    assert server.bodies() == ["a line", "another"]
    found = {span.name for span in server.spans()}
    assert "SET" in found
    assert not {name for name in found if "EVAL" in name or name == "packed"}
    assert len(server.spans()) < 6
