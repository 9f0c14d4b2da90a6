"""What any OpenTelemetry client sends by HTTP is stored, once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from fix_http import JSON, Client
from fix_otlp import request
from fix_processes import CollectorProcess, ReceiverProcess, count, wait_until
from fix_proxy import LossyProxy

EXAMPLE = Path(__file__).with_name("logs.json")
PROGRAM = """
import logging
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

provider = LoggerProvider()
provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
logging.getLogger().addHandler(LoggingHandler(logger_provider=provider))
logging.getLogger().setLevel(logging.INFO)
for number in range(1000):
    logging.getLogger("shop.cart").info("cart %d was paid", number, extra={"n": number})
provider.shutdown()
"""


@pytest.fixture
def receiver(tmp_path, redis_url) -> Iterator[ReceiverProcess]:
    process = ReceiverProcess(tmp_path, redis_url)
    yield process
    assert process.stop() == 0


@pytest.fixture
def collector(tmp_path, redis_url, store_dsn) -> Iterator[CollectorProcess]:
    process = CollectorProcess(tmp_path, redis_url, store_dsn)
    yield process
    assert process.stop() == 0


def log_with_stock_exporter(port: int, **environ: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ
        | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_SERVICE_NAME": "stock",
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def rows(dsn: str, statement: str) -> list[tuple]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(statement).fetchall()


def test_pythons_stock_exporter_delivers_unchanged(receiver, collector, store_dsn):
    log_with_stock_exporter(receiver.port)
    log_with_stock_exporter(receiver.port, OTEL_EXPORTER_OTLP_COMPRESSION="gzip")
    wait_until(lambda: count(store_dsn) >= 2000, "all rows")
    assert rows(
        store_dsn,
        "SELECT service, level, logger, count(*), count(DISTINCT body),"
        " sum((attributes ->> 'n')::int) FROM log_lines GROUP BY 1, 2, 3",
    ) == [("stock", "INFO", "shop.cart", 2000, 1000, 999 * 1000)]


def test_a_request_repeated_after_a_lost_200_is_stored_once(
    receiver, collector, store_dsn, redis_url
):
    proxy = LossyProxy(("127.0.0.1", receiver.port))
    proxy.spoil(b"POST /v1/logs")
    log_with_stock_exporter(proxy.port)  # it repeats what was not answered
    proxy.close()
    assert proxy.spoiled == 1
    again = request(["said twice"]).SerializeToString()
    client = Client(receiver.port)
    assert [client.send(again, packed=p).status for p in (False, True)] == [200, 200]
    client.close()
    wait_until(lambda: count(store_dsn) >= 1001, "all rows")
    assert collector.stop() == 0
    assert rows(store_dsn, "SELECT count(*), count(DISTINCT body) FROM logs") == [
        (1001, 1001)
    ]
    assert "2 stored before" in collector.log.read_text()


def test_the_specifications_json_example_is_stored_with_its_ids(
    receiver, collector, store_dsn
):
    client = Client(receiver.port)
    answer = client.send(EXAMPLE.read_bytes(), JSON)
    client.close()
    assert (answer.status, answer.body) == (200, b"{}")
    wait_until(lambda: count(store_dsn) == 1, "the row")
    [row] = rows(
        store_dsn,
        "SELECT service, logger, severity, severity_text, trace_id::text,"
        " encode(span_id, 'hex'), body, attributes FROM logs",
    )
    assert row[:7] == (
        "my.service", "my.library", 10, "Information",
        "5b8efff7-9803-8103-d269-b633813fc60c", "eee19b7ec3c1b174",
        "Example log record",
    )  # fmt: skip # one row
    attributes = row[7]
    assert attributes.pop("log.original_time") == 1544712660300000000
    assert attributes == {
        "string.attribute": "some string", "boolean.attribute": True,
        "int.attribute": 10, "double.attribute": 637.704,
        "array.attribute": ["many", "values"],
        "map.attribute": {"some.map.key": "some value"},
    }  # fmt: skip # one object
