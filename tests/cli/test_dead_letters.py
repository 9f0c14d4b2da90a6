"""``godot-otel dead-letters``: what was set aside is seen, mended and stored once."""

import dataclasses
import json
import os
import pty
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from fix_otlp import entry, request
from fix_processes import CollectorProcess, count, wait_until
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from godot_otel import cli, queue

TRACE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
POISONED = "refused by the store: 23514"


def rows(dsn: str, statement: str, *values: object) -> list[tuple]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def environ(redis_url, store_dsn, monkeypatch) -> dict[str, str]:
    found = {"GODOT_POSTGRES_DSN": store_dsn, "GODOT_REDIS_URL": redis_url}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def letters(environ, monkeypatch, capfdbinary):
    """Run the command here; return status, output and what was said about it."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        with monkeypatch.context() as patched, open(os.devnull) as nobody:
            patched.setattr(sys, "stdin", nobody)
            status = cli.main(["dead-letters", *arguments])
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return status, out.decode("utf-8", "surrogateescape"), err.decode()

    return run


@pytest.fixture
def collector(tmp_path, redis_url, store_dsn) -> Iterator[CollectorProcess]:
    made = CollectorProcess(tmp_path, redis_url, store_dsn)
    yield made
    assert made.stop() == 0


def poison(dsn: str) -> None:
    rows(dsn, "ALTER TABLE logs ADD CONSTRAINT poison CHECK (body NOT LIKE '%poison%')")


def mend(dsn: str) -> None:
    rows(dsn, "ALTER TABLE logs DROP CONSTRAINT poison")


def set_aside(producer, dsn: str, bodies: list, **options: object) -> None:
    before = count(dsn, "dead_letters")
    producer.admit(entry(bodies, **options))
    wait_until(lambda: count(dsn, "dead_letters") > before, "dead letters")


def drained(producer) -> bool:
    return producer._redis.xlen(queue.stream_key()) == 0


def stored(dsn: str) -> list[str]:
    return [body for (body,) in rows(dsn, "SELECT body FROM logs ORDER BY body")]


def test_a_refused_record_is_listed_shown_and_after_the_cure_stored_exactly_once(
    letters, producer, store_dsn, collector
):
    poison(store_dsn)
    hostile = "poison \x1b[31m\u202e second\nline"
    bodies = ["fine", hostile]
    set_aside(producer, store_dsn, bodies, trace_id=TRACE, attributes={"plan": "pro"})

    status, out, err = letters("list")
    title, row = out.splitlines()
    assert status == 0
    assert title.split() == ["age", "size", "id/ordinal", "service", "reason"]
    assert err == f"1 dead letter: {POISONED}\n"
    name = row.split()[3]
    assert name.endswith("/1")
    assert row.endswith(f"shop              {POISONED}")

    status, out, err = letters("show", name)
    assert (status, err) == (0, "")
    assert f"{name}  {POISONED}" in out
    assert "    body        poison  second\n                line\n" in out
    assert f"    trace_id    {TRACE.hex()}" in out
    assert '    attributes  {"plan": "pro"}' in out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\n  bytes\n    0000  0a " in out

    whole = json.loads(letters("show", "--json", name)[1])
    assert whole["records"][0]["body"] == hostile
    assert letters("show", "--raw", name)[1].startswith("\n")

    # Sent again too early, it comes back: once, under another id, with its new reason.
    rows(store_dsn, "UPDATE dead_letters SET reason = 'an earlier one'")
    assert letters("replay", "--reason", "earlier")[0] == 0
    wait_until(lambda: count(store_dsn, "dead_letters") == 1, "the letter's return")
    wait_until(lambda: drained(producer), "an empty queue")
    (again,) = rows(store_dsn, "SELECT batch_id::text, reason FROM dead_letters")
    assert again[0] != name.partition("/")[0]
    assert again[1] == POISONED

    mend(store_dsn)
    assert letters("replay") == (0, "sent 1 dead letter to the queue\n", "")
    wait_until(lambda: len(stored(store_dsn)) == 2, "the mended record")
    wait_until(lambda: drained(producer), "an empty queue")
    assert stored(store_dsn) == ["fine", hostile]
    found = rows(store_dsn, "SELECT trace_id, attributes FROM log_lines")
    assert found == [(TRACE.hex(), {"plan": "pro"})] * 2
    assert letters("list") == (0, "", "there are no dead letters\n")
    assert letters("replay") == (0, "", "no dead letter is chosen\n")


def test_a_replay_killed_between_sending_and_removing_stores_each_record_once(
    letters, environ, producer, store_dsn, tmp_path, collector
):
    poison(store_dsn)
    bodies = [f"poison {n:03}" for n in range(120)]
    set_aside(producer, store_dsn, bodies)
    mend(store_dsn)
    command = [sys.executable, "-m", "godot_otel", "dead-letters", "replay"]
    with psycopg.connect(store_dsn) as holder:
        # Removing waits for this lock, after its letters have been sent.
        holder.execute("SELECT FROM dead_letters FOR UPDATE")
        first = subprocess.Popen(command, env=os.environ | environ)
        wait_until(lambda: len(stored(store_dsn)) >= 25, "the first letters, stored")
        first.kill()
        first.wait()
        # A server goes on with the statement of a client that was killed.
        rows(
            store_dsn,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        holder.rollback()
    assert count(store_dsn, "dead_letters") == 120
    assert letters("replay")[:2] == (0, "sent 120 dead letters to the queue\n")
    wait_until(lambda: len(stored(store_dsn)) >= 120, "all of them")
    wait_until(lambda: drained(producer), "an empty queue")
    assert stored(store_dsn) == bodies
    assert count(store_dsn, "dead_letters") == 0


def undecodable() -> LogRecord:
    record = LogRecord(time_unix_nano=time.time_ns(), severity_number=17)
    record.attributes.add(key="order").value.int_value = 7
    record.body.string_value = "x"
    return record


def test_a_record_that_does_not_decode_is_shown_as_far_as_it_does(
    letters, producer, store_dsn, collector
):
    whole = request([undecodable()], service="billing").SerializeToString()
    broken = whole.replace(b"\x2a\x03\x0a\x01x", b"\x2a\x03\x2a\x7fx")  # the body
    assert broken != whole
    producer.admit(queue.Entry(queue.batch_id(), b"logs", 1, broken))
    wait_until(lambda: count(store_dsn, "dead_letters") == 1, "a dead letter")
    (one,) = [json.loads(line) for line in letters("list", "--json")[1].splitlines()]
    assert one["reason"] == "undecodable: DecodeError"
    assert one["service"] == "billing"
    _, out, _ = letters("show", one["id"])
    assert '    attributes  {"order": 7}' in out
    assert "    undecodable body" in out
    assert letters("list", "--service", "billing")[2].startswith("1 dead letter")
    assert letters("list", "--service", "shop")[2] == (
        "there are no dead letters like that\n"
    )


def test_whole_batches_are_replayed_however_old_and_what_is_no_batch_is_left(
    letters, producer, store_dsn, collector
):
    old = dataclasses.replace(entry(["a", "b"]), id=queue.batch_id(1))
    producer.admit(old)  # from 1970: the ledger knows nothing of that time
    producer._redis.xadd(queue.stream_key(), {"what": "is this"})
    oops = queue.Entry(queue.batch_id(), b"logs", 1, b"{oops", dead=b"no JSON object")
    producer.admit(oops)  # as the list of the original system's clients brings it
    wait_until(lambda: count(store_dsn, "dead_letters") == 3, "dead letters")
    rows(store_dsn, "UPDATE dead_letters SET at = now() - interval '40 days'")
    status, out, err = letters("replay")
    assert (status, out) == (1, "sent 1 dead letter to the queue\n")
    assert "2 dead letters cannot be sent: no batch is in there" in err
    wait_until(lambda: len(stored(store_dsn)) == 2, "the batch of another time")
    left = rows(store_dsn, "SELECT reason FROM dead_letters ORDER BY 1")
    assert left == [("no JSON object",), ("no entry of this contract",)]
    for line in letters("list", "--json")[1].splitlines():
        assert "nothing of it decodes" in letters("show", json.loads(line)["id"])[1]


def put(dsn: str, number: int, reason: str, days: int = 0) -> str:
    name = uuid.UUID(int=number)
    rows(
        dsn,
        "INSERT INTO dead_letters SELECT %s, n, 0, 'logs', %s, '\\x00',"
        " now() - make_interval(days => %s) FROM generate_series(0, 1) AS n",
        name, reason, days,
    )  # fmt: skip # two rows
    return str(name)


def test_purge_says_what_it_would_delete_and_wants_yes(letters, store_dsn):
    first = put(store_dsn, 1, "a")
    put(store_dsn, 2, "b", days=8)
    put(store_dsn, 3, "b")
    status, out, err = letters("purge")
    assert (status, out) == (2, "")
    assert err == (
        "4 dead letters: b\n2 dead letters: a\ngodot-otel: that is 6 dead letters, 6 B."
        " To delete it for ever, add --yes.\n"
    )
    assert count(store_dsn, "dead_letters") == 6
    one = letters("purge", "--yes", f"{first}/1")
    assert one[:2] == (0, "deleted 1 dead letter\n")
    aged = letters("purge", "--yes", "--older-than", "7d")
    assert aged[:2] == (0, "deleted 2 dead letters\n")
    assert letters("purge", "--yes", "--reason", "b")[1] == "deleted 2 dead letters\n"
    assert letters("purge", "--yes", "--reason", "b")[0] == 0
    assert letters("purge", "--yes", first)[1] == "deleted 1 dead letter\n"
    assert count(store_dsn, "dead_letters") == 0


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("\n", 2)])
def test_purge_asks_a_person(environ, store_dsn, answer, left):
    put(store_dsn, 1, "evil \x1b[2J")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "godot_otel", "dead-letters", "purge"],
        env=os.environ | environ, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip # one process
    os.close(theirs)
    os.write(ours, answer.encode())
    screen = b""
    try:
        while data := os.read(ours, 4096):
            screen += data
    except OSError:
        pass  # the other side is closed
    os.close(ours)
    assert process.wait() == bool(left)
    assert b"That is 2 dead letters" in screen
    assert b"\x1b[2J" not in screen
    assert count(store_dsn, "dead_letters") == left


def test_list_is_newest_first_and_says_what_it_leaves_out(letters, store_dsn):
    put(store_dsn, 1, "old", days=3)
    put(store_dsn, 2, "new")
    status, out, err = letters("list", "--json", "--limit", "3")
    shown = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [one["reason"] for one in shown] == ["new", "new", "old"]
    assert [one["ordinal"] for one in shown] == [0, 1, 0]
    assert list(shown[0]) == [
        "id", "ordinal", "time", "reason", "service", "signal", "bytes"
    ]  # fmt: skip # one object
    assert "the newest 3 of 4 are shown (--limit)" in err
    recent = letters("list", "--json", "--since", "-1d", "--reason", "e")[1]
    assert [json.loads(line)["reason"] for line in recent.splitlines()] == ["new"] * 2


def test_a_full_queue_keeps_the_rest_and_says_so(
    letters, producer, redis_url, store_dsn
):
    put(store_dsn, 1, "a")
    payload = request(["x"]).SerializeToString()
    rows(store_dsn, "UPDATE dead_letters SET payload = %s", payload)
    limit = len(payload) + 1  # room for one
    producer._redis.hset(queue.meta_key(), mapping={"max_bytes": limit, "v": 1})
    status, out, err = letters("replay")
    assert (status, out) == (1, "sent 1 dead letter to the queue\n")
    assert err == "1 dead letter not sent yet: the queue is full (bytes)\n"
    assert count(store_dsn, "dead_letters") == 1


def test_mistakes_are_named(letters, store_dsn):
    status, _, err = letters("show", "xyz")
    assert status == 2
    assert "'xyz' names no dead letter" in err
    assert letters("show", str(uuid.UUID(int=9)))[0] == 1
    assert letters("purge", "--older-than", "weeks")[0] == 2
    both = letters("show", "--raw", put(store_dsn, 1, "a"))
    assert both[0] == 2
    assert "2 dead letters: name one" in both[2]
