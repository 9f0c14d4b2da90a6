"""The health port of a collector, and what its log says when the queue fills up."""

import asyncio
import contextlib
import logging
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
import pytest
from fix_otlp import entry
from fix_otlp_spans import entry as span_entry
from fix_otlp_spans import raised, span
from fix_processes import CollectorProcess, count, wait_until
from fix_queue import Server
from fix_serving import free_port
from prometheus_client.parser import text_string_to_metric_families

from godot_otel import queue, store
from godot_otel.errors import QueueFullError
from godot_otel.stack.postgres import Postgres
from godot_otel_collector.batch import Batch, DeadLetter
from godot_otel_collector.load import Load
from godot_otel_collector.metrics import MOST_REASONS, MOST_SERVICES, Metrics

EXAMPLE = Path(__file__).parents[2] / "examples" / "prometheus"
RULES, README = EXAMPLE / "godot-otel.rules.yml", EXAMPLE / "README.md"


class Healthy(CollectorProcess):
    """A collector with a health port."""

    def __init__(self, *arguments, **environ) -> None:
        super().__init__(*arguments, GODOT_HTTP_PORT="0", **environ)
        (said,) = re.findall(r"health port: (http://[0-9.:]+)/", self.log.read_text())
        self.url = said

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def numbers(self) -> dict[str, float]:
        _, text = self.get("/metrics")
        return {
            sample.name + "".join(f"{{{v}}}" for v in sample.labels.values()): (
                sample.value
            )
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def healthy(tmp_path, redis_url, store_dsn):
    collector = Healthy(tmp_path, redis_url, store_dsn)
    yield collector
    collector.stop()


def drained(producer) -> bool:
    return producer._redis.xlen(queue.stream_key()) == 0


def test_the_numbers_are_those_of_what_was_stored(healthy, producer, store_dsn):
    batches = [
        entry(["one", "two", "three"], service="shop"),
        entry([f"charge {n}" for n in range(40)], service="payments"),
        entry(["four"], service="shop"),
    ]
    failed = raised(span(), "E", "a line, and no record")
    spans = span_entry([failed, span()])
    for batch in batches:
        producer.admit(batch)
    wait_until(lambda: count(store_dsn) == 44 and drained(producer), "the rows")
    producer.admit(spans)
    producer.admit(batches[0])  # a second delivery
    producer.admit(queue.Entry(queue.batch_id(), b"logs", 1, b"no request"))
    wait_until(lambda: drained(producer), "the rest")
    numbers = healthy.numbers()
    with psycopg.connect(store_dsn) as connection:
        stored = connection.execute(
            "SELECT service, count(*) FROM logs WHERE event_name IS NULL"
            " GROUP BY service"
        ).fetchall()
        (partitions,) = connection.execute(
            "SELECT count(*) FROM partitions"
            " WHERE parent = 'logs' AND dropped_at IS NULL"
        ).fetchone()
    for service, records in stored:
        assert (
            numbers[f"godot_otel_stored_records_total{{{service}}}{{logs}}"] == records
        )
    size = {"shop": 0, "payments": 0}
    for batch, service in zip(batches, ("shop", "payments", "shop"), strict=True):
        size[service] += len(batch.payload)
    for service, total in size.items():
        assert numbers[f"godot_otel_stored_bytes_total{{{service}}}{{logs}}"] == total
    assert numbers["godot_otel_stored_batches_total{logs}"] == 4
    assert numbers["godot_otel_stored_batches_total{traces}"] == 1
    assert count(store_dsn, "batches") == 5
    assert numbers["godot_otel_stored_records_total{shop}{traces}"] == 2
    assert numbers["godot_otel_stored_bytes_total{shop}{traces}"] == len(spans.payload)
    assert numbers["godot_otel_ledger_conflicts_total"] == 1
    assert numbers["godot_otel_dead_letters_total{no OTLP request}"] == 1
    assert count(store_dsn, "dead_letters") == 1
    assert numbers["godot_otel_queue_records"] == 0
    assert numbers["godot_otel_queue_admitted_batches_total"] == 6
    assert numbers["godot_otel_queue_max_records"] == queue.DEFAULT_MAX_RECORDS
    assert numbers["godot_otel_partitions{logs}"] == partitions > 0
    assert 3600 < numbers["godot_otel_partitions_ahead_seconds{logs}"] <= 4 * 3600
    assert numbers["godot_otel_copy_seconds_count"] >= 2
    assert (
        numbers["godot_otel_transaction_seconds_sum"]
        >= numbers["godot_otel_copy_seconds_sum"]
        > 0
    )
    assert 0 < numbers["godot_otel_committed_lag_seconds"] < 60
    assert numbers["godot_otel_store_reachable"] == 1


def test_drops_are_those_that_applications_have_reported(healthy, producer, store_dsn):
    source = (
        b'{"instance":"%s","service":"shop","emitted":9,"dropped":{"spool_full":7}}'
    )
    for instance in (b"0" * 31 + b"1", b"0" * 31 + b"2"):
        one = entry(["x"])
        producer.admit(
            queue.Entry(one.id, one.signal, 1, one.payload, source=source % instance)
        )
    wait_until(lambda: count(store_dsn) == 2, "the rows")
    assert healthy.numbers()["godot_otel_dropped_records{spool_full}"] == 14


def test_it_answers_this_machine_alone_and_nothing_else(healthy):
    assert healthy.get("/healthz") == (200, "ok\n")
    assert healthy.get("/readyz") == (200, "ok\n")
    assert healthy.get("/metrics", Host="evil.example")[0] == 421
    assert healthy.get("/other")[0] == 404
    assert healthy.url.startswith("http://127.0.0.1:")


def test_beyond_loopback_it_is_asked_by_addresses_and_allowed_names(
    tmp_path, redis_url, store_dsn
):
    """127.0.0.2 counts as others' address: Guard's names are not its."""
    collector = Healthy(
        tmp_path, redis_url, store_dsn,
        GODOT_HTTP_HOST="127.0.0.2", GODOT_ALLOWED_HOSTS="collector",
    )  # fmt: skip # where, and how
    try:
        assert collector.url.startswith("http://127.0.0.2:")
        for name in (
            "172.18.0.5:9464",
            "[fd00::5]:9464",
            "collector:9464",
            "localhost",
        ):
            assert collector.get("/metrics", Host=name)[0] == 200, name
        for name in ("evil.example", "172.18.0.5.evil.example", "1.2.3.4@evil.example"):
            assert collector.get("/metrics", Host=name)[0] == 421, name
        page = {"Host": "172.18.0.5:9464", "Origin": "http://172.18.0.5:9464"}
        assert collector.get("/metrics", **page)[0] == 403
    finally:
        collector.stop()


def test_without_partitions_for_what_comes_next_it_is_not_ready(healthy, store_dsn):
    with psycopg.connect(store_dsn) as connection:
        later = connection.execute(
            "SELECT name FROM partitions WHERE parent = 'logs' AND lower > now()"
        ).fetchall()
        for (name,) in later:  # as people do by hand
            connection.execute(f"DROP TABLE {name}")
    assert healthy.get("/readyz") == (
        503, "no partition of logs takes what comes next\n",
    )  # fmt: skip # one answer


@pytest.fixture
def away(server_folder, request):
    """A store whose server can be stopped."""
    if request.config.getoption("--postgres") == "15":
        pytest.skip("stops a server of its own, which is the embedded one")
    server = Postgres(server_folder / "health", settings={"fsync": "off"})
    server.start()
    asyncio.run(store.migrate(server.dsn()))
    yield server
    server.stop()
    server.wipe()


@pytest.mark.slow
def test_it_is_not_ready_while_the_store_or_the_queue_is_away(away, tmp_path):
    waiting = Server(tmp_path, free_port())
    producer = queue.Producer(waiting.url)
    collector = Healthy(tmp_path, waiting.url, away.dsn())
    try:
        assert collector.get("/readyz") == (200, "ok\n")
        away.stop()
        producer.admit(entry(["meanwhile"]))
        wait_until(lambda: collector.get("/readyz")[0] == 503, "not ready", 5)
        assert "cannot be reached" in collector.get("/readyz")[1]
        assert collector.get("/healthz")[0] == 200
        wait_until(
            lambda: collector.numbers()["godot_otel_store_away_seconds"] > 0.1,
            "the failed transaction",
        )
        numbers = collector.numbers()
        assert numbers["godot_otel_store_reachable"] == 0
        assert numbers["godot_otel_queue_records"] == 1
        assert not [name for name in numbers if "partitions" in name], "unknown now"
        away.start()
        wait_until(lambda: collector.get("/readyz")[0] == 200, "ready again", 15)
        wait_until(lambda: count(away.dsn()) == 1, "the line")
        wait_until(
            lambda: collector.numbers()["godot_otel_store_away_seconds"] == 0, "calm"
        )
        waiting.stop()
        assert collector.get("/readyz") == (
            503, "the queue cannot be used: ConnectionError\n",
        )  # fmt: skip # one answer
        numbers = collector.numbers()
        assert numbers["godot_otel_queue_reachable"] == 0
        assert "godot_otel_queue_records" not in numbers
        assert numbers["godot_otel_store_reachable"] == 1
        waiting.start()
        wait_until(lambda: collector.get("/readyz")[0] == 200, "ready again", 15)
    finally:
        collector.stop()
        producer.close()
        waiting.stop()


def test_a_taken_port_is_said(monkeypatch):
    monkeypatch.setenv("GODOT_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("GODOT_POSTGRES_DSN", "postgresql://u@127.0.0.1:1/d")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("GODOT_HTTP_PORT", str(port))
        done = subprocess.run(
            [sys.executable, "-m", "godot_otel", "collect"],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip # what, and how
    assert done.returncode == 2
    assert done.stderr == (
        f"godot-otel: port {port} on 127.0.0.1 cannot be used (Address already in use);"
        " choose another with GODOT_HTTP_PORT, 0 for any free one\n"
    )


def test_labels_are_bounded():
    metrics = Metrics()
    for number in range(70):
        batch = Batch(b"1-0", 100, 1, b"", 0, "logs", {}, b"", stored=1)
        batch.services = {f"service {number}": 1}
        batch.dead = [DeadLetter(0, f"reason {number}", b"")]
        metrics.stored([batch])
    text = metrics.render(None, None).decode()
    services = re.findall(r"^godot_otel_stored_records_total\{.* (.+)", text, re.M)
    assert len(services) == MOST_SERVICES + 1
    assert f'{{service="other",signal="logs"}} {70 - MOST_SERVICES}.0' in text
    assert f'{{reason="other"}} {70 - MOST_REASONS}.0' in text


def test_every_metric_is_documented_and_those_of_the_alert_rules_exist(healthy):
    _, answer = healthy.get("/metrics")
    helps = re.findall(r"^# HELP (godot_otel_\w+) (.+)$", answer, re.M)
    table = re.findall(r"^\| `(\w+)`\S* \| \w+ \| (.+) \|$", README.read_text(), re.M)
    assert sorted(table) == sorted(helps)
    rules = RULES.read_text()
    named = set(re.findall(r"\b(godot_otel_\w+)", rules))
    assert len(named) >= 8
    assert named <= {name for name, _ in helps}
    alerts = rules.count("- alert: ")
    assert alerts == rules.count("summary: ") == rules.count("what_to_do: ") >= 8
    lag = "godot_otel_committed_lag_seconds"
    assert lag not in healthy.numbers(), "nothing was stored: it is not known"


# --- what the log says


@contextlib.asynccontextmanager
async def looking(redis_url):
    source = queue.Queue(redis_url)
    stopping = asyncio.Event()
    load = Load(source, stopping=stopping, interval=0.1)
    task = asyncio.create_task(load.run())
    try:
        await source.prepare(max_bytes=10_000_000, max_records=1000)
        yield source
    finally:
        stopping.set()
        await task
        await source.close()


async def said(caplog, action: str) -> str:
    deadline = time.monotonic() + 10
    while True:
        for record in caplog.records:
            if getattr(record, "action", "") == action:
                return record.getMessage()
        assert time.monotonic() < deadline, f"nothing said of {action}"
        await asyncio.sleep(0.02)


async def test_a_queue_that_fills_up_is_said_with_the_top_talker_and_the_time_left(
    redis_url, producer, caplog
):
    caplog.set_level(logging.INFO)
    source = (b'{"service":"loud"}', b'{"service":"quiet"}')
    async with looking(redis_url) as waiting:
        await asyncio.sleep(0.3)
        for number in range(12):
            one = entry(["x" * 200] * 50)
            producer.admit(
                queue.Entry(
                    one.id, one.signal, 50, one.payload, source=source[number % 4 == 0]
                )
            )
            await asyncio.sleep(0.05)
        text = await said(caplog, "queue_filling")
        assert text.startswith("the queue is filling up: ")
        assert " of 1,000 records, " in text
        assert "most comes from loud: " in text
        assert re.search(r"at this rate the queue holds \d+ s$", text)
        for _ in range(8):
            one = entry(["x"] * 50)
            with contextlib.suppress(QueueFullError):
                producer.admit(one)
        text = await said(caplog, "queue_full")
        assert text.startswith("the queue is full and refuses more: 100%, 1,000 of")
        await asyncio.sleep(0.5)
        entries = producer._redis.xrange(queue.stream_key())
        await waiting.acknowledge(
            [(i, len(f[b"payload"]), int(f[b"records"])) for i, f in entries]
        )
        assert "recovered: 0%" in await said(caplog, "queue_recovered")
    spoken = [r.action for r in caplog.records if hasattr(r, "action")]
    assert spoken == ["queue_filling", "queue_full", "queue_recovered"]
