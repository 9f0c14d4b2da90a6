"""The users of deploy/users.acl can do their part of the queue's work, and no more."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from fix_otlp import entry
from redis.backoff import NoBackoff
from redis.retry import Retry

from godot_otel import queue
from godot_otel.errors import RetryableError
from godot_otel.queue.keys import instances_key, levels_key, meta_key, stream_key

STREAM, META = stream_key(), meta_key()
READING = [
    ("XRANGE", STREAM, "-", "+"), ("XREAD", "STREAMS", STREAM, "0"),
    ("XREADGROUP", "GROUP", queue.GROUP, "me", "STREAMS", STREAM, ">"),
]  # fmt: skip # what shows lines
CHANGING = [
    ("XDEL", STREAM, "1-1"), ("XTRIM", STREAM, "MAXLEN", "0"), ("DEL", STREAM),
    ("XACK", STREAM, queue.GROUP, "1-1"), ("SET", META, "x"), ("EXPIRE", META, "1"),
    ("XGROUP", "DESTROY", STREAM, queue.GROUP), ("RENAME", STREAM, "other"),
    ("HSET", levels_key(), "shop", "{}"),
]  # fmt: skip # what loses or changes something
SERVING = [
    ("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "SET", "save", ""), ("SHUTDOWN",),
    ("CONFIG", "GET", "requirepass"), ("ACL", "LIST"), ("MONITOR",), ("KEYS", "*"),
    ("SCRIPT", "FLUSH"), ("CLIENT", "KILL", "ID", "1"), ("GET", "theirs"),
    ("SET", "theirs", "x"), ("FUNCTION", "LIST"), ("SWAPDB", "0", "1"), ("SAVE",),
]  # fmt: skip # what is the server's or somebody else's


@pytest.fixture
def clients(urls):
    made = {user: redis.Redis.from_url(url) for user, url in urls.items()}
    made["collector"].delete(STREAM, META, levels_key(), instances_key())
    yield made
    for client in made.values():
        client.close()


def refuses(client: redis.Redis, command: tuple[str, ...]) -> bool:
    try:
        client.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return True
    except redis.ResponseError:  # it was let in, and nothing was there
        return False
    return False


def allowed_to(client: redis.Redis, commands: list[tuple[str, ...]]) -> list[str]:
    return [" ".join(c) for c in commands if not refuses(client, c)]


def test_nobody_comes_in_without_a_password(queue_port):
    with redis.Redis(port=queue_port, retry=Retry(NoBackoff(), 0)) as client:
        for command in [("PING",), *READING, *CHANGING, *SERVING]:
            with pytest.raises(redis.AuthenticationError):
                client.execute_command(*command)


def test_an_application_can_send_and_hear_of_levels_and_no_more(urls, clients):
    producer = queue.Producer(urls["producer"])
    assert producer.admit(entry(["one line"])).stream_id
    assert producer.run, "what tells that the server restarted"
    producer.register("an instance", {"service": "shop"})
    assert producer.levels().levels == {}
    assert producer.level_version() >= 0
    producer.unregister("an instance")
    with pytest.raises(RetryableError):
        producer.set_level("shop", "DEBUG", 60)
    producer.close()
    refused = READING + CHANGING + SERVING
    assert allowed_to(clients["producer"], refused) == []


def test_a_collector_can_drain_the_queue_and_no_more(urls, clients):
    """That it does is in test_parts.py."""
    assert (
        allowed_to(clients["collector"], [c for c in SERVING if c[1:2] != ("GET",)])
        == []
    )
    assert allowed_to(clients["collector"], [("XTRIM", STREAM, "MAXLEN", "0")]) == []


async def test_a_reader_sees_how_full_it_is_and_cannot_write(urls, clients):
    producer = queue.Producer(urls["producer"])
    producer.admit(entry(["one line", "another"]))
    producer.close()
    reading = queue.Queue(urls["reader"])
    depth = await reading.depth()
    await reading.close()
    assert (depth.batches, depth.records) == (1, 2)
    board = queue.Producer(urls["reader"])
    assert board.levels().levels == {}
    assert board.instances() == []
    with pytest.raises(RetryableError):
        board.admit(entry(["not by a reader"]))
    board.close()
    assert allowed_to(clients["reader"], CHANGING + SERVING) == []
    assert clients["collector"].xlen(STREAM) == 1
    instances = ("HSET", instances_key(), "x", "{}")
    assert (
        allowed_to(clients["reader"], [instances, ("XADD", STREAM, "*", "a", "b")])
        == []
    )


def test_redis_takes_the_file_of_users_too(urls, redis_port, queue_port):
    old, new = f":{queue_port}/", f":{redis_port}/"
    producer = queue.Producer(urls["producer"].replace(old, new))
    assert producer.admit(entry(["one line"])).stream_id
    producer.close()
    for user, refused in {"producer": READING + CHANGING, "reader": CHANGING}.items():
        with redis.Redis.from_url(urls[user].replace(old, new)) as client:
            assert allowed_to(client, refused + SERVING) == []


def test_the_file_of_users_holds_no_password(folder, services):
    text = (folder / "deploy/users.acl").read_text()
    passwords = (folder / ".env").read_text().split()
    assert len(passwords) == 8
    for line in passwords:
        assert line.partition("=")[2] not in text
    assert text.count(" #") == 3
    assert [line.split()[:2] for line in text.splitlines()] == [
        ["user", name] for name in ("default", "producer", "collector", "reader")
    ]


def test_passwords_are_made_once(folder):
    before = (folder / ".env").read_text()
    again = subprocess.run(
        [folder / "deploy/secrets.sh"], capture_output=True, text=True
    )
    assert again.returncode == 1
    assert "nothing was changed" in again.stderr
    assert (folder / ".env").read_text() == before
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600


def test_a_program_logs_as_the_user_for_applications(urls, clients, tmp_path):
    program = "import logging; logging.getLogger('cart').warning('paid %s', 7)"
    done = subprocess.run(
        [sys.executable, "-m", "godot_otel", "run", "--service", "shop", "--",
         sys.executable, "-c", program],
        env={"OTEL_EXPORTER_GODOT_ENDPOINT": urls["producer"], "HOME": str(tmp_path),
             "PATH": f"{Path(sys.executable).parent}:{os.defpath}"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip # what, and how
    assert done.returncode == 0, done.stderr
    (fields,) = [
        f for _, f in clients["collector"].xrange(STREAM) if f[b"records"] != b"0"
    ]
    assert b"paid 7" in fields[b"payload"]
    assert json.loads(fields[b"source"])["service"] == "shop"
    assert "spool" not in done.stderr
