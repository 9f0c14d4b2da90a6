"""The level board, on Valkey and on Redis 7: the server's clock, bounds, odd values."""

import json
import time

import pytest
import redis

from godot_otel import levels, queue
from godot_otel.errors import RetryableError


@pytest.fixture
def client(server):
    with redis.Redis.from_url(server) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def producer(server, client):
    producer = queue.Producer(server)
    yield producer
    producer.close()


def put(client, key, **values):
    client.hset(key, mapping=values)


def server_ms(client):
    seconds, micros = client.time()
    return seconds * 1000 + micros // 1000


def test_a_level_holds_until_its_time_by_the_servers_clock(producer):
    version = producer.set_level("shop", "DEBUG", 0.3)
    board = producer.levels()
    assert board.version == version == producer.level_version()
    (level, left) = board.levels["shop"]
    assert (level, 0.2 < left <= 0.3) == ("DEBUG", True)
    time.sleep(0.31)
    assert producer.levels() == levels.LevelBoard(version, {})


def test_each_change_has_a_new_version_that_admission_tells(producer):
    from fix_otlp import entry

    versions = [producer.set_level("shop", "DEBUG", 60) for _ in range(20)]
    assert versions == sorted(set(versions))
    assert producer.admit(entry(["x"])).level_version == versions[-1]


def test_no_version_comes_again_after_the_server_was_emptied(producer, client):
    before = producer.set_level("shop", "DEBUG", 60)
    client.flushdb()
    time.sleep(0.005)
    assert producer.level_version() == 0
    assert producer.set_level("shop", "DEBUG", 60) > before


def test_one_level_ends_or_all(producer):
    for target in ("a", "a/b", "c"):
        producer.set_level(target, "INFO", 60)
    before = producer.level_version()
    assert producer.reset_level("a") == 1
    assert producer.level_version() > before
    assert set(producer.levels().levels) == {"a/b", "c"}
    assert producer.reset_level("a") == 0
    assert producer.reset_level() == 2
    assert producer.levels().levels == {}


def test_what_has_ended_does_not_stay_in_the_hash(producer, client):
    for number in range(20):
        producer.set_level(f"old{number}", "DEBUG", 0.01)
    time.sleep(0.02)
    producer.set_level("new", "DEBUG", 60)
    assert client.hkeys(queue.levels_key()) == [b"new"]
    producer.set_level("old", "DEBUG", 0.01)
    time.sleep(0.02)
    assert producer.reset_level() == 1


def test_an_instance_is_listed_until_it_leaves(producer):
    facts = {"service": "shop", "pid": 7, "host": "h", "applied": {"shop": "DEBUG"},
             "absent": ["shop/x"], "kept": {"a": "INFO"}, "level": "DEBUG",
             "level_version": 3}  # fmt: skip
    assert producer.register("i1", facts) == 0
    producer.register("i2", {"service": "shop", "pid": 2, "host": "h"})
    producer.register("i3", {"service": "a"})
    third, second, first = producer.instances()
    assert (third.id, second.id, first.id) == ("i3", "i2", "i1")
    assert first.applied == {"shop": "DEBUG"}
    assert (first.absent, first.kept) == (("shop/x",), {"a": "INFO"})
    assert (first.level, first.level_version) == ("DEBUG", 3)
    assert 0 <= first.age_seconds < 5
    producer.unregister("i1")
    assert [one.id for one in producer.instances()] == ["i3", "i2"]


def test_an_instance_that_died_is_forgotten_after_ten_minutes(producer, client):
    now = server_ms(client)
    for name, age in (("old", 601_000), ("young", 590_000), ("future", -601_000)):
        value = json.dumps({"seen_ms": now - age, "service": "shop"})
        put(client, queue.instances_key(), **{name: value})
    producer.register("new", {"service": "shop"})
    assert set(client.hkeys(queue.instances_key())) == {b"young", b"new"}


def test_the_hash_of_instances_is_read_through_once_a_minute(producer, client):
    producer.register("i", {"service": "shop"})
    old = json.dumps({"seen_ms": 1, "service": "shop"})
    put(client, queue.instances_key(), old=old)
    producer.register("i", {"service": "shop"})
    assert client.hexists(queue.instances_key(), "old")
    put(client, queue.meta_key(), instances_pruned_ms=server_ms(client) - 61_000)
    producer.register("i", {"service": "shop"})
    assert not client.hexists(queue.instances_key(), "old")


ODD = [
    "", "{", "null", "[]", "7", '"x"', "[" * 100_000, b"\xff\xfe", "{}",
    '{"level":"DEBUG"}', '{"level":"DEBUG","until_ms":"soon"}',
    '{"level":"DEBUG","until_ms":NaN}', '{"level":"DEBUG","until_ms":true}',
    '{"level":"LOUD","until_ms":9999999999999}', '{"level":7,"until_ms":9999999999999}',
    '{"seen_ms":null,"service":"x"}', '{"seen_ms":1e999,"service":"x"}',
    '{"seen_ms":1,"service":7}', '{"seen_ms":1,"service":""}',
]  # fmt: skip # a value each


@pytest.mark.parametrize("value", ODD)
def test_what_somebody_else_wrote_is_ignored(producer, client, value):
    for key in (queue.levels_key(), queue.instances_key()):
        client.hset(key, "odd", value)
        client.hset(key, b"\xff", value)
    producer.set_level("shop", "DEBUG", 60)
    producer.register("i", {"service": "shop"})
    assert set(producer.levels().levels) == {"shop"}
    assert [one.id for one in producer.instances()] == ["i"]


def test_odd_facts_of_an_instance_are_left_out(producer, client):
    facts = {"service": "shop", "pid": "x", "host": 7, "applied": [1], "absent": "no",
             "kept": {"a": 1, "b": "INFO"}, "level": None}  # fmt: skip
    producer.register("i", facts)
    (one,) = producer.instances()
    assert (one.pid, one.host, one.applied, one.absent) == (0, "7", {}, ())
    assert one.kept == {"b": "INFO"}


def test_a_time_far_away_is_cut_to_a_week(producer, client):
    for number, until in enumerate((10**15, 10**400)):
        value = json.dumps({"level": "DEBUG", "until_ms": until})
        client.hset(queue.levels_key(), f"t{number}", value)
    lasting = {left for _, left in producer.levels().levels.values()}
    assert lasting == {7 * 24 * 3600.0}


def test_keys_of_another_type_break_no_application(producer, client):
    client.set(queue.levels_key(), "x")
    client.set(queue.instances_key(), "x")
    put(client, queue.meta_key(), level_version="x")
    assert producer.levels() == levels.LevelBoard(0, {})
    assert producer.register("i", {"service": "shop"}) == 0
    assert producer.instances() == []
    assert producer.level_version() == 0
    with pytest.raises(RetryableError):
        producer.set_level("shop", "DEBUG", 60)


def test_a_server_out_of_memory_still_takes_levels(producer, client):
    put(client, "ballast", x="x" * 1_000_000)
    client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
    try:
        version = producer.set_level("shop", "DEBUG", 60)
        assert producer.register("i", {"service": "shop"}) == version
        assert producer.reset_level() == 1
    finally:
        client.config_set("maxmemory", 0)


def test_nobody_there_is_retryable():
    gone = queue.Producer("redis://:hunter2@127.0.0.1:1/0")
    for ask in (
        gone.level_version, gone.levels, gone.instances, gone.reset_level,
        lambda: gone.set_level("a", "DEBUG", 1), lambda: gone.register("i", {}),
        lambda: gone.unregister("i"),
    ):  # fmt: skip # one question after the other
        with pytest.raises(RetryableError) as caught:
            ask()
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name"), [("debug", "DEBUG"), ("Warn", "WARNING"), ("FATAL", "CRITICAL")]
)
def test_a_level_has_one_name(text, name):
    assert levels.level_name(text) == name


@pytest.mark.parametrize("text", ["", "10", "LOUD", "DEBUG "])
def test_what_is_no_level_is_said(text):
    with pytest.raises(ValueError, match="is no level: expected TRACE, DEBUG"):
        levels.level_name(text)
