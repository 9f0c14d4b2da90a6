"""The queue by its contract, on the embedded Valkey and on Debian's Redis 7."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import redis
from fix_otlp import entry

from godot_otel import queue
from godot_otel.errors import QueueFullError, RetryableError, SettingError


@pytest.fixture
def client(server) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server) as client:
        client.flushdb()
        yield client
        client.config_set("maxmemory", 0)
        client.flushdb()


@pytest.fixture
def sender(server, client) -> Iterator[queue.Producer]:
    sender = queue.Producer(server)
    yield sender
    sender.close()


@contextlib.asynccontextmanager
async def opened(url: str, **limits: int) -> AsyncIterator[queue.Queue]:
    source = queue.Queue(url)
    try:
        await source.prepare(**{"max_bytes": 10**8, "max_records": 10**6, **limits})
        yield source
    finally:
        await source.close()


async def test_depth_bytes_and_age_are_exact(server, sender):
    async with opened(server) as source:
        batches = [entry(["a", "b"]) for _ in range(5)]
        for batch in batches:
            sender.admit(batch)
        await asyncio.sleep(0.05)
        depth = await source.depth()
        assert (depth.batches, depth.records) == (5, 10)
        assert depth.bytes == sum(len(batch.payload) for batch in batches)
        assert 0.05 <= depth.oldest_age_seconds < 5
        found = await source.read("me", count=2, block_ms=100)
        sizes = [(i, len(f[b"payload"]), int(f[b"records"])) for i, f in found]
        assert await source.acknowledge(sizes) == 2
        assert await source.acknowledge(sizes) == 0, "a second time changes nothing"
        depth = await source.depth()
        assert (depth.batches, depth.records) == (3, 6)
        assert (depth.admitted_batches, depth.admitted_records) == (5, 10)


@pytest.mark.parametrize("limit", ["max_bytes", "max_records"])
async def test_a_full_queue_refuses_and_takes_again_when_there_is_room(
    server, sender, limit
):
    batch = entry(["x"] * 10)
    room = {"max_bytes": 3 * len(batch.payload), "max_records": 30}[limit]
    async with opened(server, **{limit: room}) as source:
        for _ in range(3):
            sender.admit(batch)
        with pytest.raises(QueueFullError, match=limit.removeprefix("max_")):
            sender.admit(batch)
        assert (await source.depth()).batches == 3
        (found,) = await source.read("me", count=1, block_ms=100)
        await source.acknowledge([(found[0], len(batch.payload), 10)])
        sender.admit(batch)


async def test_a_server_out_of_memory_says_full_and_still_drains(
    server, client, sender
):
    async with opened(server) as source:
        sender.admit(entry(["before"]))
        client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
        with pytest.raises(QueueFullError, match="memory"):
            sender.admit(entry(["refused"]))
        (found,) = await source.read("me", count=9, block_ms=100)
        size = len(found[1][b"payload"])
        assert await source.acknowledge([(found[0], size, 1)]) == 1
        assert (await source.depth()).bytes == 0


async def test_sums_heal_when_somebody_wrote_by_hand(server, client, sender):
    async with opened(server) as source:
        sender.admit(entry(["ours"]))
        client.xadd(source.key, {"foreign": "entry"})
        found = await source.read("me", count=9, block_ms=100)
        await source.acknowledge([(i, 10**6, 10**6) for i, _ in found])
        depth = await source.depth()
        assert (depth.batches, depth.bytes, depth.records) == (0, 0, 0)


async def test_entries_of_a_dead_consumer_go_to_one_claimer(server, sender):
    async with opened(server) as source:
        for _ in range(4):
            sender.admit(entry(["x"]))
        await source.read("dead", count=4, block_ms=100)
        await asyncio.sleep(0.2)
        claims = await asyncio.gather(
            *(source.claim("dead", f"c{n}", idle_ms=150, count=10) for n in range(3))
        )
        assert sum(map(len, claims)) == 4
        ids = [i for claim in claims for i, _ in claim]
        assert len(set(ids)) == 4


async def test_a_beat_shows_that_a_consumer_lives(server, sender):
    async with opened(server) as source:
        sender.admit(entry(["x"]))
        await source.read("me", count=1, block_ms=100)
        await asyncio.sleep(0.3)
        (before,) = await source.consumers()
        await source.beat("me")
        (after,) = await source.consumers()
        assert before["idle"] >= 300 > after["idle"]
        assert after["pending"] == 1


async def test_a_consumer_with_pending_entries_is_not_forgotten(server, sender):
    async with opened(server) as source:
        sender.admit(entry(["x"]))
        (found,) = await source.read("me", count=1, block_ms=100)
        assert not await source.forget("me")
        assert [i for i, _ in await source.pending_of("me", after="0", count=9)] == [
            found[0]
        ]
        await source.acknowledge([(found[0], 1, 1)])
        assert await source.forget("me")


async def test_a_group_created_late_sees_what_came_before(server, sender):
    sender.admit(entry(["early"]))
    async with opened(server) as source:
        assert len(await source.read("me", count=9, block_ms=100)) == 1


def test_ids_are_uuid7_of_their_time():
    minted = uuid.UUID(bytes=queue.batch_id(1_700_000_000_000))
    assert (minted.version, minted.variant) == (7, uuid.RFC_4122)
    assert minted.int >> 80 == 1_700_000_000_000


def test_ids_of_one_millisecond_sort_by_when_they_were_minted():
    minted = [queue.batch_id() for _ in range(1000)]
    assert sorted(minted) == minted
    assert len({identity[:6] for identity in minted}) < 100


def test_nobody_there_is_retryable_and_names_no_password():
    sender = queue.Producer("redis://:hunter2@127.0.0.1:1/0")
    with pytest.raises(RetryableError) as caught:
        sender.admit(entry(["x"]))
    assert "hunter2" not in str(caught.value)


def test_a_wrong_password_is_said(valkey):
    url = valkey.url.replace(valkey.password, "wrong")
    with pytest.raises(RetryableError, match="refused the user or password"):
        queue.Producer(url).admit(entry(["x"]))


def test_a_malformed_url_is_a_setting_error():
    with pytest.raises(SettingError, match="malformed"):
        queue.Producer("http://example.com")


def test_a_producer_learns_which_run_of_the_server_answers(sender, client):
    assert sender.run is None
    sender.level_version()
    assert sender.run == client.info("server")["run_id"]


def test_a_user_who_may_not_ask_for_the_run_delivers_all_the_same(server, client):
    client.acl_setuser(
        "shy", enabled=True, passwords=["+pass"], keys=["*"],
        commands=["+@all", "-info"],
    )  # fmt: skip # one user
    place = server.rpartition("//")[2].rpartition("@")[2]
    shy = queue.Producer(f"redis://shy:pass@{place}")
    shy.admit(entry(["a"]))
    assert shy.run is None
    assert client.xlen(queue.stream_key()) == 1
    shy.close()
    client.acl_deluser("shy")
