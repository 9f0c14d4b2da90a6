"""Lost answers and a store that is away: every accepted record is stored once."""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from fix_otlp import entry
from fix_processes import CollectorProcess, count, wait_until
from fix_proxy import LossyProxy
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

from godot_otel import queue
from godot_otel.stack.postgres import Postgres
from godot_otel_exporter.exporter import GodotLogRecordExporter


@pytest.fixture
def proxy(redis_url) -> Iterator[LossyProxy]:
    parts = urlsplit(redis_url)
    assert parts.hostname
    assert parts.port
    proxy = LossyProxy((parts.hostname, parts.port))
    yield proxy
    proxy.close()


def bodies(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT body FROM logs").fetchall()
    return sorted(body for (body,) in rows)


def test_an_export_whose_answer_is_lost_is_stored_once(
    redis_url, store_dsn, proxy, producer, tmp_path
):
    exporter = GodotLogRecordExporter(endpoint=proxy.redis_url(redis_url), timeout=20)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("lossy")
    for number in range(30):
        if number % 10 == 5:
            proxy.spoil(b"payload")
        logger.emit(body=f"line {number}")
    provider.shutdown()
    assert proxy.spoiled == 3
    assert producer._redis.xlen(queue.stream_key()) == 33, "no batch was sent twice"
    collector = CollectorProcess(tmp_path, redis_url, store_dsn)
    wait_until(lambda: producer._redis.xlen(queue.stream_key()) == 0, "the drain")
    assert collector.stop() == 0
    assert bodies(store_dsn) == sorted(f"line {number}" for number in range(30))


@pytest.mark.parametrize(
    ("word", "answer"),
    [(b"XREADGROUP", b"payload"), (b"EVALSHA", b"")],
    ids=["read", "ack"],
)
def test_a_collector_that_misses_answers_stores_everything_once(
    redis_url, store_dsn, proxy, producer, tmp_path, word, answer
):
    collector = CollectorProcess(tmp_path, proxy.redis_url(redis_url), store_dsn)
    for number in range(40):
        if number % 10 == 5:
            proxy.spoil(word, answer=answer)
        producer.admit(entry([f"line {number}"]))
        time.sleep(0.05)
    wait_until(lambda: producer._redis.xlen(queue.stream_key()) == 0, "the drain")
    assert collector.stop() == 0
    assert proxy.spoiled >= 2
    assert bodies(store_dsn) == sorted(f"line {number}" for number in range(40))


@pytest.mark.slow
def test_a_collector_waits_for_postgres_and_loses_nothing(
    redis_url, producer, server_folder, tmp_path, request
):
    if request.config.getoption("--postgres") == "15":
        pytest.skip("stops a server of its own, which is the embedded one")
    import asyncio

    from godot_otel import store

    server = Postgres(server_folder / "away")
    server.start()
    try:
        dsn = server.dsn()
        asyncio.run(store.migrate(dsn))
        collector = CollectorProcess(tmp_path, redis_url, dsn)
        producer.admit(entry(["before"]))
        wait_until(lambda: count(dsn) == 1, "the first row")
        server.stop()
        for number in range(50):
            producer.admit(entry([f"meanwhile {number}"]))
        time.sleep(3)
        assert collector.process.poll() is None
        assert producer._redis.xlen(queue.stream_key()) == 50
        server.start()
        wait_until(lambda: producer._redis.xlen(queue.stream_key()) == 0, "the drain")
        assert collector.stop() == 0
        assert count(dsn) == 51
    finally:
        server.stop()
        server.wipe()
