"""Celery's prefork pool: it empties root's handlers and ends a worker every 5 tasks."""

from __future__ import annotations

import sys
import time
from collections import Counter

import pytest
import redis
from fix_launch import spans
from fix_processes import wait_until

TASKS = 1000
WORKER = """
    import logging
    from celery import Celery
    app = Celery("shop", broker={broker!r})
    app.conf.broker_connection_retry_on_startup = True
    log = logging.getLogger("shop.tasks")
    @app.task(name="work")
    def work(n):
        log.info("task %d", n)
"""
PRODUCER = """
    from celery import Celery
    from opentelemetry import trace
    app = Celery("shop", broker={broker!r})
    with trace.get_tracer("producer").start_as_current_span("enqueue") as span:
        for n in range({tasks}):
            app.send_task("work", [n])
    print(trace.format_trace_id(span.get_span_context().trace_id))
"""
INSTRUMENTED = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask,fastapi,django,httpx"}


@pytest.mark.slow
def test_a_thousand_tasks_over_two_hundred_workers(launch, queue, stored):
    broker = queue.url[:-1] + "1"
    with redis.Redis.from_url(broker) as client:
        client.flushdb()
    producer = launch(
        PRODUCER.format(broker=broker, tasks=TASKS), sys.executable, "shop.py",
        **INSTRUMENTED,
    )  # fmt: skip # one program
    trace_id = producer.outcome().out.strip()
    began = time.monotonic()
    worker = launch(
        WORKER.format(broker=broker), "celery", "-A", "shop", "worker",
        "--concurrency", "2", "--max-tasks-per-child", "5", "-l", "INFO",
        **INSTRUMENTED,
    )  # fmt: skip # one program

    def done() -> bool:
        assert not worker.ended(), worker.printed()
        return worker.printed().count("succeeded in") >= TASKS

    wait_until(done, "all tasks", 150)
    print(f"{TASKS} tasks took {time.monotonic() - began:.1f} s")
    worker.send(15)
    assert worker.outcome().status == 0
    lines = [line for line in stored(worker) if line.logger == "shop.tasks"]
    assert Counter(line.body for line in lines) == {
        f"task {n}": 1 for n in range(TASKS)
    }
    assert {line.trace_id for line in lines} == {trace_id}
    ran = [one for one in spans(queue, worker.service) if one.name == "run/work"]
    assert len({one.span_id for one in ran}) == len(ran) == TASKS
    assert {one.trace_id.hex() for one in ran} == {trace_id}
    assert len({line.instance for line in lines}) >= TASKS / 5
