"""Entries of dead collectors are taken over, whatever becomes of the answers."""

import asyncio
import time

from fix_otlp import entry
from fix_proxy import LossyProxy

from godot_otel import queue
from godot_otel_collector import reader
from godot_otel_collector.reader import Reader


async def test_a_claim_whose_answer_is_lost_is_not_forgotten(
    valkey, redis_url, producer, monkeypatch
):
    monkeypatch.setattr(reader, "DEAD_MS", 50)
    monkeypatch.setattr(reader, "BEAT_SECONDS", 0.05)
    direct = queue.Queue(redis_url)
    await direct.prepare(max_bytes=2**20, max_records=1000)
    producer.admit(entry(["left behind"]))
    assert len(await direct.read("dead", count=1, block_ms=None)) == 1
    await asyncio.sleep(0.1)
    proxy = LossyProxy(("127.0.0.1", valkey.port))
    ours = queue.Queue(proxy.redis_url(redis_url))
    stopping = asyncio.Event()
    taking = Reader(ours, stopping=stopping)
    proxy.spoil(b"XCLAIM")
    reclaim = asyncio.create_task(taking.run_reclaim())
    found: list[queue.Delivered] = []
    deadline = time.monotonic() + 10
    while not found:
        assert time.monotonic() < deadline
        found = await taking.read(wait=True)
    assert proxy.spoiled == 1
    stopping.set()
    await reclaim
    proxy.close()
    await ours.close()
    await direct.close()
