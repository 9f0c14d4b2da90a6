from __future__ import annotations

import json
import logging
import threading
import time

import pytest

from godot_otel_exporter import memory
from godot_otel_exporter.capture import capture
from godot_otel_exporter.memory import Flush, Memory


def call(body: str = "hello", **extra):
    record = logging.LogRecord("a", 20, "/a.py", 1, body, None, None)
    record.__dict__.update(extra)
    return capture(record)


def put(queue: Memory, body: str = "hello", level: int = 20, **extra) -> bool:
    """Put one log call as the processor does; return whether it was taken."""
    item, refused = call(body, **extra), queue.refused
    queue.put(item, level, item.weight)
    return queue.refused == refused


def everything(queue: Memory) -> list:
    taken = []
    while len(queue):
        taken += queue.take()[0]
    return taken


@pytest.fixture
def taker():
    """Threads that take from a queue until the test ends, and what they took."""
    stop, threads = threading.Event(), []

    def start(queue: Memory) -> list:
        taken: list = []

        def run() -> None:
            while not stop.is_set() or len(queue):
                queue.wait(0.01)
                taken.extend(queue.take()[0])

        threads.append((queue, threading.Thread(target=run)))
        threads[-1][1].start()
        return taken

    def end() -> None:
        stop.set()
        for queue, thread in threads:
            queue.hurry()
            thread.join(10)
            assert not thread.is_alive()
        threads.clear()

    start.end = end
    yield start
    end()


def test_what_is_put_is_taken_in_order_and_in_batches():
    queue = Memory(100, 10)
    for number in range(25):
        assert put(queue, str(number))
    batches = [queue.take()[0] for _ in range(3)]
    assert [len(batch) for batch in batches] == [10, 10, 5]
    taken = [item.message for batch in batches for item in batch]
    assert taken == [str(number) for number in range(25)]
    assert queue.take() == ([], None)


def test_at_the_limit_errors_have_a_tenth_more_room_than_others():
    queue = Memory(100, 10)
    results = [put(queue) for _ in range(120)]
    assert results == [True] * 100 + [False] * 20
    results = [put(queue, level=logging.ERROR) for _ in range(20)]
    assert results == [True] * 10 + [False] * 10
    assert not put(queue, level=logging.WARNING)
    assert queue.refused == 31
    assert len(everything(queue)) == 110
    assert put(queue)


def test_a_call_waits_for_room_no_longer_than_a_moment():
    queue = Memory(100, 10)
    for _ in range(100):
        put(queue)
    queue.take(), [put(queue) for _ in range(10)]  # the taker was there just now
    times = []
    for _ in range(20):
        started = time.perf_counter()
        assert not put(queue)
        times.append(time.perf_counter() - started)
    assert sorted(times)[10] < 0.004
    assert sum(times) < 0.2


def test_a_call_waits_for_nothing_while_the_taker_is_stuck(monkeypatch):
    monkeypatch.setattr(memory, "_STUCK_SECONDS", 0.05)
    queue = Memory(100, 10)
    for _ in range(100):
        put(queue)
    time.sleep(0.06)
    started = time.perf_counter()
    for _ in range(100):
        assert not put(queue)
    assert time.perf_counter() - started < 0.05


def test_the_wait_makes_room_when_somebody_takes(taker):
    queue = Memory(100, 10)
    taken = taker(queue)
    results = [put(queue) for _ in range(3000)]
    taker.end()
    assert len(taken) == sum(results)
    assert queue.refused == results.count(False)
    assert sum(results) > 2900


def test_characters_are_bounded_as_well_as_records(monkeypatch):
    monkeypatch.setattr(memory, "MAX_CHARACTERS", 100_000)
    queue = Memory(1000, 100)
    results = [put(queue, "x" * 9_000) for _ in range(20)]
    assert results == [True] * 11 + [False] * 9
    assert put(queue, "a short one is bounded by its number")
    assert not put(queue, "attributes count", blob="x" * 9_000)
    assert not put(queue, "at any depth", blob={"a": ["x" * 5_000, {"b": "x" * 5_000}]})
    assert not put(queue, "x" * 200_000)
    assert queue.refused == 12
    everything(queue)
    for _ in range(3):  # the sum of characters is back to nothing
        assert [put(queue, "x" * 9_000) for _ in range(12)] == [True] * 11 + [False]
        everything(queue)


def test_a_mark_comes_after_what_was_put_before_and_is_never_refused():
    queue = Memory(10, 10)
    first, second = Flush(), Flush()
    queue.mark(first)
    for _ in range(12):
        put(queue)
    queue.mark(second)
    assert queue.refused == 3
    assert queue.take() == ([], first)
    items, mark = queue.take()
    assert (len(items), mark) == (9, second)
    assert not second.wait(0)
    second.arrive()
    assert second.wait(0)


def test_a_first_record_waits_for_others_until_the_delay_has_passed():
    queue = Memory(100, 10)
    put(queue)  # it rings while nobody listens yet
    started = time.monotonic()
    queue.wait(0.2)
    assert 0.15 < time.monotonic() - started < 0.5
    assert len(everything(queue)) == 1


@pytest.mark.parametrize("how", ["error", "batch", "hurry"])
def test_an_error_a_full_batch_or_a_flush_ends_the_delay(how):
    queue = Memory(100, 10)
    put(queue)

    def act() -> None:
        if how == "error":
            put(queue, level=logging.ERROR)
        elif how == "batch":
            for _ in range(9):
                put(queue)
        else:
            queue.hurry()

    timer = threading.Timer(0.1, act)
    timer.start()
    started = time.monotonic()
    queue.wait(5)
    assert time.monotonic() - started < 1
    timer.join()


def test_eight_threads_lose_nothing_uncounted(taker):
    queue = Memory(200, 20)
    taken = taker(queue)
    accepted = [0] * 8

    def work(mine: int) -> None:
        for number in range(2000):
            level = logging.ERROR if number % 50 == 0 else logging.INFO
            body = "x" * 5000 if number % 100 == 0 else "hello"
            item = call(f"{mine} {body}")
            queue.put(item, level, item.weight)

    threads = [threading.Thread(target=work, args=[n]) for n in range(len(accepted))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taker.end()
    assert len(taken) + queue.refused == 16_000
    assert queue._heavy == 0


SIGNALS = """
    import gc, logging, os, signal, threading, time
    from godot_otel_exporter import configure
    configure()
    log = logging.getLogger("a")
    done = 0

    def on_alarm(number, frame):
        global done
        done += 1
        log.info("in a handler %s", "x" * (3000 if done % 2 else 3))

    class Finalized:
        def __init__(self): self.me = self
        def __del__(self):
            global done
            done += 1
            log.info("in a finalizer")

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    gc.set_threshold(50)
    for n in range(20000):
        log.info("n %d", n)
        done += 1
        if n % 10 == 0: Finalized()
        if n % 50 == 0: log.info("long %s", "y" * 3000); done += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    gc.collect()
    print(done)
"""


@pytest.mark.parametrize("room", ["65536", "300"])
def test_calls_in_signal_handlers_and_finalizers_neither_hang_nor_get_lost(
    room, server, program
):
    done = program(
        SIGNALS,
        GODOT_REDIS_URL=server.url,
        OTEL_BLRP_MAX_QUEUE_SIZE=room,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    source = json.loads(server.entries()[-1][b"source"])
    dropped = source["dropped"].get("queue_full", 0)
    bodies = server.bodies()
    assert source["emitted"] == len(bodies) + dropped
    if room == "65536":
        assert dropped == 0
    assert any("in a handler" in body for body in bodies)
    assert "in a finalizer" in bodies
    # `done += 1` in a handler may itself be lost, so this is no exact sum.
    assert source["emitted"] >= int(done.stdout)
