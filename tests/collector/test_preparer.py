"""The process that decodes: it may die, and never outlives its collector."""

import asyncio
import contextlib
import gzip
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest
from fix_otlp import entry
from fix_processes import CollectorProcess, count, wait_until

from godot_otel import contract, queue
from godot_otel_collector.calendar import HOUR, Calendar
from godot_otel_collector.group import Prepared
from godot_otel_collector.preparation import Preparation
from godot_otel_collector.preparer import Preparer, PreparerDiedError


@pytest.fixture
def preparer():
    with contextlib.closing(Preparer()) as made:
        yield made


@pytest.fixture
def collector(tmp_path, redis_url, store_dsn):
    started = CollectorProcess(tmp_path, redis_url, store_dsn)
    yield started
    started.kill()


def running() -> dict[int, int]:
    """The processes that decode, by pid: whose child each is."""
    shown = subprocess.run(
        ["ps", "-Aww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True
    ).stdout
    rows = [line.split(maxsplit=3) for line in shown.splitlines()]
    return {
        int(pid): int(parent)
        for pid, parent, stat, command in rows
        if "godot_otel_collector.preparing" in command and not stat.startswith("Z")
    }


def child(collector: CollectorProcess) -> int | None:
    found = [pid for pid, parent in running().items() if parent == collector.pid]
    return found[0] if found else None


def deliveries(*entries: queue.Entry) -> list[contract.Delivered]:
    now = time.time_ns() // 1_000_000
    fields = [one.fields() for one in entries]
    return [
        (b"%d-%d" % (now, n), dict(zip(one[::2], one[1::2], strict=True)))
        for n, one in enumerate(fields)
    ]


def calendar() -> Calendar:
    lower = time.time_ns() // 1000 // HOUR * HOUR
    return Calendar([(lower - HOUR, lower + 2 * HOUR)])


def packed(found: Prepared) -> list[bytes]:
    assert found.group is not None
    return [bytes(chunk.rows(7)) for chunk in found.group.chunks]


async def test_it_gives_what_would_have_come_of_it_here(preparer):
    plain = entry(["one", "two"])
    data = gzip.compress(plain.payload)
    packed_one = queue.Entry(queue.batch_id(), b"logs", 2, data, encoding=b"gzip")
    broken = queue.Entry(queue.batch_id(), b"logs", 1, b"no OTLP at all")
    given, days = deliveries(plain, packed_one, broken), calendar()
    there = await preparer.prepare(given, days, retention_days=7)
    here = Preparation(retention_days=7).of(given, days)
    assert there.group is not None
    assert here.group is not None
    assert packed(there) == packed(here)
    assert [b.payload for b in there.group.batches] == [
        plain.payload, plain.payload, broken.payload
    ]  # fmt: skip # as they came, or unpacked
    assert [b.dead for b in there.group.batches] == [b.dead for b in here.group.batches]
    assert there.group.counts == here.group.counts


async def test_answers_come_in_the_order_of_the_questions(preparer):
    many = [deliveries(entry([f"{n} {place}" for n in range(200)])) for place in "abcd"]
    questions = (preparer.prepare(one, calendar(), retention_days=7) for one in many)
    found = await asyncio.gather(*questions)
    for place, one in zip("abcd", found, strict=True):
        (rows,) = packed(one)
        assert f"199 {place}".encode() in rows


async def test_the_next_process_takes_over_from_one_that_died(preparer):
    given = deliveries(entry(["one"]))
    before = packed(await preparer.prepare(given, calendar(), retention_days=7))
    pid = preparer._process.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in running(), "its end")
    with pytest.raises(PreparerDiedError, match="ended with -9"):
        await preparer.prepare(given, calendar(), retention_days=7)
    assert packed(await preparer.prepare(given, calendar(), retention_days=7)) == before
    assert preparer._process.pid != pid


@pytest.mark.slow
def test_killed_again_and_again_it_costs_no_record(collector, producer, store_dsn):
    sent, killed = 0, 0
    for n in range(40):
        producer.admit(entry([f"{n} {m}" for m in range(100)]))
        sent += 100
        if n % 10 == 5:
            before = child(collector)
            os.kill(before, signal.SIGKILL)
            killed += 1
            for m in range(3):  # some come while there is none
                producer.admit(entry([f"{n} too {m}"]))
                sent += 1
            wait_until(lambda b=before: child(collector) not in (None, b), "the next")
    wait_until(lambda: count(store_dsn) >= sent, "all of them")
    assert count(store_dsn) == sent
    assert killed == 4
    assert "starting another" in collector.log.read_text()


@pytest.mark.slow
def test_where_it_dies_each_time_the_collector_ends_and_keeps_nothing(
    collector, producer
):
    """What killed it stays in the queue, for whoever is started next."""
    os.kill(child(collector), signal.SIGKILL)
    producer.admit(entry(["one"]))
    deaths, ends = set(), time.monotonic() + 40
    while collector.process.poll() is None and time.monotonic() < ends:
        if (pid := child(collector)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # before it has imported what it needs
            deaths.add(pid)
        time.sleep(0.01)
    assert collector.process.wait(5) not in (0, -signal.SIGKILL)
    assert len(deaths) >= 3
    assert producer._redis.xlen(queue.stream_key()) == 1


def test_signals_are_for_the_collector_alone(collector, producer, store_dsn):
    producer.admit(entry(["before"]))
    wait_until(lambda: count(store_dsn) == 1, "it to be under way")
    before = child(collector)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(before, number)
    producer.admit(entry(["after"]))
    wait_until(lambda: count(store_dsn) == 2, "the record")
    assert child(collector) == before


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_it_ends_with_its_collector_however_that_ends(collector, number, status):
    decoding = child(collector)
    assert decoding
    os.kill(collector.pid, number)
    assert collector.process.wait(20) == status
    wait_until(lambda: decoding not in running(), "its end", 10)


def test_it_ends_with_a_collector_that_still_waited_for_answers():
    """As killed under load: nobody takes what is made, and more is asked for."""
    command = [sys.executable, "-m", "godot_otel_collector.preparing"]
    request = deliveries(entry(["one"] * 500)), calendar(), 0, 7
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as decoding:
        for _ in range(5):
            pickle.dump(request, decoding.stdin)
        decoding.stdin.flush()
        assert pickle.load(decoding.stdout).group is not None
        decoding.stdout.close()
        decoding.stdin.close()
        assert decoding.wait(10) == 0


async def test_what_it_cannot_do_is_said_and_does_not_end_it(preparer):
    nonsense = [(b"no stream id", {b"payload": b"x"})]
    with pytest.raises(RuntimeError, match="cannot prepare what was read"):
        await preparer.prepare(nonsense, calendar(), retention_days=7)
    pid = preparer._process.pid
    await preparer.prepare(deliveries(entry(["one"])), calendar(), retention_days=7)
    assert preparer._process.pid == pid
