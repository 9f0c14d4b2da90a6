"""A queue in memory for one signal, and the thread that empties it.

In: what the processors of log records and of spans take. Out: batches, which the
exporter encodes and ``link`` sends.
"""

from __future__ import annotations

import threading
import time

from opentelemetry.instrumentation.utils import suppress_instrumentation

from godot_otel_exporter import lifecycle
from godot_otel_exporter.batching import Batching
from godot_otel_exporter.diagnostics import report
from godot_otel_exporter.memory import Flush, Memory
from godot_otel_exporter.queue_exporter import QueueExporter
from godot_otel_exporter.sender import SHUTDOWN_SECONDS

_TURN_SECONDS = 0.5


class Batcher:
    """Batches items for an exporter of ours, and loses none uncounted.

    An item waits until a batch is full, until the delay has passed, or until one at
    ERROR or above comes: the last ones before a crash matter most.
    """

    def __init__(self, exporter: QueueExporter, batching: Batching) -> None:
        self._exporter = exporter
        self._batching = batching
        self._after_fork()
        lifecycle.watch(self)

    def _after_fork(self) -> None:
        """Begin life in this process: what the parent holds, the parent sends."""
        self._memory = Memory(
            self._batching.queue_records, self._batching.batch_records
        )
        self._thread: threading.Thread | None = None
        self._draining = self._over = False
        self._starting, self._turn = threading.RLock(), threading.Lock()

    def lose(self) -> None:
        """Count what could not even be taken."""
        self._exporter.refuse("internal", 1, emitted=1)

    def pending(self) -> bool:
        """Say whether anything is on its way."""
        # In the order in which a record passes them, or it could slip through.
        return bool(self._memory) or self._draining or self._exporter.pending()

    def leave(self, timeout: float) -> None:
        """Nothing more than flushing: the link says goodbye."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until queue or spool hold all that was logged; False when time is up."""
        ends = time.monotonic() + timeout_millis / 1000
        mark = Flush()
        self._memory.mark(mark)
        self._start()
        if self._thread is None:  # no more threads in this process: it ends
            self._drain_in_turn()
        else:
            self._memory.hurry()
        return mark.wait(ends - time.monotonic())

    def shutdown(self, timeout_millis: float = SHUTDOWN_SECONDS * 1000) -> None:
        """Send or spool what is left, for 5 s at most, and end the threads.

        What is logged later is sent all the same: it starts them again.
        """
        ends = time.monotonic() + min(timeout_millis / 1000, SHUTDOWN_SECONDS)
        if self.pending():
            self.force_flush(int((ends - time.monotonic()) * 1000))
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._memory.hurry()
            thread.join(max(0.0, ends - time.monotonic()))
        self._exporter.shutdown(max(0.0, ends - time.monotonic()) * 1000)

    def end(self, timeout: float) -> None:
        """End the threads for good: what is logged from now on is sent by who logs it.

        For the last acts of an interpreter, which first refuses new threads and then
        freezes the ones it has.
        """
        self._over = True
        self._exporter.last_threads()
        self.shutdown(timeout * 1000)
        self._memory.rest()

    def _start(self) -> None:
        if self._over:
            self._drain_in_turn()
            return
        with self._starting:
            if self._thread is not None:
                return
            thread = threading.Thread(
                target=self._run, args=[self._memory], daemon=True,
                name=f"godot-otel-{self._exporter.signal}",
            )  # fmt: skip # what, and how it is called
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:  # at interpreter exit, or at a limit of the system
                self._thread = None

    def _run(self, memory: Memory) -> None:
        with suppress_instrumentation():
            while True:
                memory.wait(self._batching.delay)
                self._draining = True
                self._drain()
                self._draining = False
                if self._thread is not threading.current_thread():
                    memory.rest()
                    self._drain()  # only now: who put something earlier told nobody
                    return

    def _drain_in_turn(self) -> None:
        # A thread that was frozen while it had its turn has it for ever.
        if self._turn.acquire(timeout=_TURN_SECONDS):
            try:
                with suppress_instrumentation():
                    self._drain()
            finally:
                self._turn.release()

    def _drain(self) -> None:
        """Send what is there now; what comes meanwhile has its own turn."""
        left = len(self._memory)
        while left > 0:
            items, mark = self._memory.take()
            left -= len(items) + (mark is not None)
            self._count_refused()
            try:
                if items:
                    self._exporter.forward(items)
            except Exception as error:
                report("internal", "exporting failed: %s", type(error).__name__)
                self._exporter.refuse("internal", len(items), emitted=0)
            if mark is not None:
                self._exporter.forward_mark(mark)

    def _count_refused(self) -> None:
        memory = self._memory
        refused = memory.refused
        if refused:
            memory.refused -= refused  # under the GIL; nobody but us subtracts
            self._exporter.refuse("queue_full", refused, emitted=refused)
