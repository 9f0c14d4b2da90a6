"""What is kept of the batches that the queue took last, and when it is sent again."""

import os

from godot_otel.queue import Entry
from godot_otel_exporter.exporter import GodotLogRecordExporter
from godot_otel_exporter.resend import MAX_BYTES, ResendWindow


def batch(number: int, size: int = 10) -> Entry:
    return Entry(number.to_bytes(16, "big"), b"logs", 1, bytes(size))


def lost(window: ResendWindow) -> list[int]:
    found = []
    while (entry := window.take()) is not None:
        found.append(int.from_bytes(entry.id, "big"))
    return found


def filled(times: list[float], *, size: int = 10) -> ResendWindow:
    window = ResendWindow()
    for number, now in enumerate(times):
        window.answered("first", now, batch(number, size))
    return window


def test_a_connection_to_the_same_run_sends_nothing_again():
    window = filled([0, 1, 2])
    window.answered("first", 3)
    assert not window.lost


def test_another_run_gets_the_last_five_seconds_in_their_order():
    window = filled([0, 4, 5, 6])
    window.answered("second", 6.5, batch(9))
    assert window.lost
    assert lost(window) == [1, 2, 3]
    assert not window.lost


def test_a_long_outage_does_not_make_what_was_taken_last_too_old():
    window = filled([0, 1])
    window.answered("second", 3600)
    assert lost(window) == [0, 1]


def test_an_answer_makes_older_batches_safe_though_it_took_none():
    window = filled([0, 4])
    window.answered("first", 6)
    window.answered("second", 7)
    assert lost(window) == [1]


def test_what_the_new_run_took_is_kept_for_its_own_end():
    window = filled([0])
    window.answered("second", 1, batch(1))
    window.answered("third", 2)
    assert lost(window) == [0, 1]


def test_no_more_than_8_mib_are_kept():
    window = filled([0] * 20, size=MAX_BYTES // 8)
    window.answered("second", 1)
    assert lost(window) == list(range(12, 20))


def test_nothing_is_kept_for_a_server_that_does_not_name_its_run():
    window = ResendWindow()
    window.answered(None, 0, batch(0))
    window.answered("first", 1)
    assert not window.lost


def test_what_could_not_be_sent_comes_first_again():
    window = filled([0, 1])
    window.answered("second", 2)
    entry = window.take()
    assert entry is not None
    window.give_back(entry)
    assert lost(window) == [0, 1]


def test_a_forked_child_begins_with_an_empty_window(redis_url):
    exporter = GodotLogRecordExporter(endpoint=redis_url)
    window = exporter._sender.window
    window.answered("first", 0, batch(0))
    child = os.fork()
    if not child:
        fresh = exporter._sender.window
        fresh.answered("second", 1)
        os._exit(fresh.lost)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    window.answered("second", 1)
    assert lost(window) == [0]
