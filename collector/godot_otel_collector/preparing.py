"""The process that prepares for a collector; see ``preparer``.

It imports nothing but what decoding needs: no client of either server. Two threads read
and write the pipes meanwhile, so that decoding waits for neither.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
import traceback
from queue import Queue
from typing import BinaryIO

from godot_otel import contract
from godot_otel_collector.batch import Batch
from godot_otel_collector.calendar import Calendar
from godot_otel_collector.group import Prepared
from godot_otel_collector.preparation import Preparation

Request = tuple[list[contract.Delivered], Calendar, int, int]
"""Deliveries, the partitions that there are, the floor, and days of retention."""


def main() -> None:
    """Prepare what comes on standard input, until its end; answer on standard output.

    Signals are for the collector: a terminal and systemd send theirs to both.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed
    # Rows hold no cycles; looking for some each 700 objects takes a twentieth.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    # The threads have little to do, and need their turns sooner than after 5 ms.
    sys.setswitchinterval(0.001)
    asked: Queue[Request | None] = Queue(1)
    made: Queue[Prepared | str] = Queue(1)
    threading.Thread(target=_read, args=[asked], daemon=True).start()
    threading.Thread(target=_write, args=[made, answers], daemon=True).start()
    preparation: Preparation | None = None
    while (request := asked.get()) is not None:
        try:
            preparation = preparation or Preparation(retention_days=request[3])
            made.put(_prepared(preparation, request))
        except Exception:
            made.put(traceback.format_exc())
        del request
    os._exit(0)  # whoever would read what is being written is gone


def _read(asked: Queue[Request | None]) -> None:
    try:
        while True:  # from ourselves: what came from outside is bytes in it
            asked.put(pickle.load(sys.stdin.buffer))  # noqa: S301
    except (EOFError, pickle.UnpicklingError):
        return
    finally:
        asked.put(None)


def _write(made: Queue[Prepared | str], answers: BinaryIO) -> None:
    """Write answers; when that fails, end the process, which would wait for ever."""
    try:
        while True:
            pickle.dump(made.get(), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
    except BrokenPipeError:
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _prepared(preparation: Preparation, request: Request) -> Prepared:
    deliveries, calendar, floor, _ = request
    found = preparation.of(deliveries, calendar, floor=floor)
    if found.group is not None:
        _leave_payloads(found.group.batches, deliveries)
    return found


def _leave_payloads(batches: list[Batch], deliveries: list[contract.Delivered]) -> None:
    """Take out of *batches* what the collector has: the payloads as they came."""
    came = {id(fields.get(b"payload")) for _, fields in deliveries}
    for batch in batches:
        if id(batch.payload) in came:
            batch.payload = b""


if __name__ == "__main__":
    main()
