"""Prepares groups in a process of its own: decoding keeps one core busy by itself.

Deliveries go there and groups come back as pickles, through two pipes; see
``preparing``. The process ends with the pipe that it reads, so it never outlives the
collector; when it dies, what it was given can be given to the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, TypeVar, cast

from godot_otel import contract
from godot_otel.errors import RetryableError
from godot_otel_collector.batch import Batch
from godot_otel_collector.calendar import Calendar
from godot_otel_collector.group import Prepared

_PROGRAM = "godot_otel_collector.preparing"
_BROKEN = (EOFError, OSError, ValueError, pickle.UnpicklingError)
"""What pipes of a process that is gone do; ValueError: they are closed already."""

_Process = subprocess.Popen[bytes]
_T = TypeVar("_T")


class PreparerDiedError(RetryableError):
    """The process is gone; the same deliveries can be prepared by the next one."""


class Preparer:
    """Has groups prepared by a process that it starts, in the order of the calls.

    The next ones may be asked for before the first has come.
    """

    def __init__(self) -> None:
        self._process: _Process | None = None
        self._asking = asyncio.Lock()
        self._answering = asyncio.Lock()

    def start(self) -> None:
        """Start the process unless there is one, as ``prepare`` does otherwise."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                process_group=0,  # a terminal's signals are for the collector
            )

    async def prepare(
        self,
        deliveries: Sequence[contract.Delivered],
        calendar: Calendar,
        *,
        retention_days: int,
        floor: int = 0,
    ) -> Prepared:
        """As ``Preparation.of``; a process keeps the *retention_days* it is first told.

        Cancelled, it leaves the pipes in the middle of something: close.

        Raises:
            PreparerDiedError: the process ended before it had answered.
            RuntimeError: it failed, which is a fault of its program.
        """
        async with self._asking:
            try:
                self.start()
            except OSError as error:
                raise PreparerDiedError(f"no process to decode: {error}") from None
            process = cast(_Process, self._process)
            request = deliveries, calendar, floor, retention_days
            await self._work(process, _ask, process, request)
        async with self._answering:
            found = await self._work(process, _answer, process)
        if isinstance(found, str):
            raise RuntimeError(f"cannot prepare what was read: {found}")
        if found.group is not None:
            _give_payloads(found.group.batches, deliveries)
        return found

    async def _work(
        self, process: _Process, function: Callable[..., _T], *arguments: Any
    ) -> _T:
        try:
            return await asyncio.to_thread(function, *arguments)
        except _BROKEN:
            if self._process is process:
                self.close()
            raise PreparerDiedError(
                f"the process that decodes ended with {process.wait()}"
            ) from None

    def close(self) -> None:
        """End the process; what it is preparing is dropped."""
        if (process := self._process) is None:
            return
        self._process = None
        process.kill()  # it holds nothing that is nowhere else
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(BrokenPipeError):  # of what was not sent yet
                cast(BinaryIO, pipe).close()


def _ask(process: _Process, request: tuple[Any, ...]) -> None:
    asked = cast(BinaryIO, process.stdin)
    pickle.dump(request, asked, pickle.HIGHEST_PROTOCOL)
    asked.flush()


def _answer(process: _Process) -> Prepared | str:
    # From our own process: what came from outside is bytes in it.
    answers = cast(BinaryIO, process.stdout)
    found: Prepared | str = pickle.load(answers)  # noqa: S301
    return found


def _give_payloads(
    batches: Sequence[Batch], deliveries: Sequence[contract.Delivered]
) -> None:
    """Undo what ``preparing`` left out."""
    came = dict(deliveries)
    for batch in batches:
        fields = came[batch.stream_id]
        if not batch.payload and not fields.get(b"encoding"):
            batch.payload = fields.get(b"payload", b"")
