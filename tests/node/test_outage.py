"""The queue is away for a while: what fitted is all there, and nothing twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

import psycopg
import pytest
import redis
from fix_outages import durable_server
from fix_partitions import collecting, until
from fix_processes import count, wait_until
from fix_queue import Server
from fix_serving import free_port

from godot_otel import queue

REGISTER = ("--require", "godot-otel/register")
STEADY = """
const log = require("pino")(require("node:fs").createWriteStream("/dev/null"));
let number = 0;
const timer = setInterval(() => {
  for (let i = 0; i < 20; i++) log.info({ number: number++ }, "steady");
  if (number === 20) process.stdout.write("ready\\n");
}, 10);
process.stdin.on("data", () => {
  clearInterval(timer);
  process.stdin.destroy();
  process.stdout.write(JSON.stringify(number));
});
"""


@pytest.fixture
def server(tmp_path):
    server = durable_server(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


@pytest.mark.slow
def test_ten_seconds_without_the_queue_lose_nothing_and_repeat_nothing(
    node, server, store_dsn
):
    process = node.start(*REGISTER, node.script(STEADY), GODOT_REDIS_URL=server.url)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    time.sleep(10)
    server.start()
    time.sleep(2.5)  # the longest pause between attempts
    emitted, said = process.communicate("stop", timeout=20)
    assert process.returncode == 0, said
    assert int(emitted) > 10_000
    drain(server, store_dsn, int(emitted))
    with psycopg.connect(store_dsn) as connection:
        (distinct,) = connection.execute(
            "SELECT count(DISTINCT attributes ->> 'number') FROM logs"
        ).fetchone()
    assert distinct == int(emitted)
    assert said.startswith("godot-otel: the queue cannot be used: ECONN")


def drain(server, dsn: str, rows: int) -> None:
    async def collect() -> None:
        async with collecting(server.url, dsn):
            await until(lambda: count(dsn) >= rows)

    asyncio.run(collect())
    assert count(dsn) == rows
    with redis.Redis.from_url(server.url) as client:
        assert not client.xlen(queue.stream_key())


TWO = """
const log = require("pino")(require("node:fs").createWriteStream("/dev/null"));
log.info("before");
process.stdin.on("data", (text) => {
  log.info("after");
  process.stdin.destroy();
});
"""


def test_what_a_server_forgot_when_it_died_is_sent_again_with_its_id(node, tmp_path):
    server = Server(tmp_path, free_port())  # it keeps nothing on disk
    try:
        process = node.start(*REGISTER, node.script(TWO), GODOT_REDIS_URL=server.url)
        wait_until(server.entries, "the first line")
        (first,) = server.entries()
        server.stop()
        server.start()
        _, said = process.communicate("go on", timeout=20)
        assert (process.returncode, said) == (0, "")
        entries = server.entries()
        assert sorted(server.bodies()) == ["after", "before"]
        assert first[b"id"] in {entry[b"id"] for entry in entries}
    finally:
        server.stop()


FLOOD = """
const { GodotLogRecordExporter, GodotLogRecordProcessor } = require("godot-otel");
const { LoggerProvider } = require("@opentelemetry/sdk-logs");
const exporter = new GodotLogRecordExporter({ fallback: "none", backlogBytes: 20_000 });
const processor = new GodotLogRecordProcessor(exporter);
const logger = new LoggerProvider({ processors: [processor] }).getLogger("flood");
const emit = (count) => {
  for (let i = 0; i < count; i++) logger.emit({ body: "flood" });
};
async function main() {
  emit(40_000); // in one turn of the event loop: more than the memory holds
  await processor.forceFlush(); // the queue is full: what is encoded waits
  process.stdout.write("ready\\n");
  await new Promise((resolve) => process.stdin.once("data", resolve));
  emit(3);
  await processor.shutdown();
  process.exit();
}
main();
"""


def test_what_does_not_fit_is_counted_by_reason(node, server):
    with redis.Redis.from_url(server.url) as client:
        client.hset(queue.meta_key(), "max_records", "1")
        process = node.start(node.script(FLOOD), GODOT_REDIS_URL=server.url)
        assert process.stdout.readline() == "ready\n"
        client.hset(queue.meta_key(), "max_records", "1000000")
        _, said = process.communicate("go on", timeout=20)
        entries = [fields for _, fields in client.xrange(queue.stream_key())]
    assert "the queue is full (records)" in said
    arrived = sum(int(entry[b"records"]) for entry in entries)
    told = max(
        (json.loads(entry[b"source"]) for entry in entries),
        key=lambda source: source["emitted"] + sum(source["dropped"].values()),
    )
    assert told["emitted"] == 40_003
    assert told["dropped"]["queue_full"] == 40_000 - 32_768
    assert told["dropped"].keys() == {"queue_full", "backlog_full"}
    assert arrived == told["emitted"] - sum(told["dropped"].values())
    assert len({entry[b"id"] for entry in entries}) == len(entries)
