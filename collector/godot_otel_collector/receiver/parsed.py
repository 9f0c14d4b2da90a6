"""What was parsed of a request, and what of it could not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from starlette.exceptions import HTTPException

from godot_otel_collector.receiver.malformed import MALFORMED, Malformed, why
from godot_otel_collector.receiver.signals import Signal

MAX_RECORDS = 100_000
"""Empty records are 2 bytes in a body, and a hundred in memory."""


@dataclass(slots=True)
class Parsed:
    """A request, and how many of its records are not in it."""

    signal: Signal
    request: Any = field(init=False)
    records: int = 0
    rejected: int = 0
    problem: str = ""
    """Where the first one was rejected, and why."""
    remarked: str = ""
    """The first of what a client should know though it costs no record."""
    _parts: int = 0

    def __post_init__(self) -> None:
        self.request = self.signal.request()

    def bound(self, more: int) -> None:
        """Count *more* records, or resources or scopes, which cost as much.

        Raises:
            HTTPException: 413 too many.
        """
        self._parts += more
        if self._parts > MAX_RECORDS:
            raise HTTPException(
                413,
                f"the body has more than {MAX_RECORDS:,} records: send smaller batches",
            )

    def add(
        self,
        scope: Any,
        at: tuple[int, int, int],
        fill: Callable[[Message, Any], str],
        source: Any,
    ) -> None:
        """Let *fill* make a record of *scope* from *source*; what is none is rejected.

        *at* is where the record is in the request. What *fill* returns is for the
        client to know.
        """
        records = self.signal.records(scope)
        record = records.add()
        try:
            remark = fill(record, source)
            if not self.signal.sound(record):
                raise Malformed("it lacks a trace id of 16 or a span id of 8 bytes")
        except MALFORMED as error:
            records.pop()
            self.reject(1, self.signal.place(*at), error)
            return
        self.records += 1
        if remark:
            self.remark(f"{self.signal.place(*at)}: {remark}")

    def reject(self, records: int, place: str, error: Exception) -> None:
        """Count *records* that cannot be taken, because of what is at *place*."""
        self.problem = self.problem or f"{place}: {why(error)}"
        self.rejected += records

    def remark(self, sentence: str) -> None:
        """Keep what a client should know though its records were taken."""
        self.remarked = self.remarked or sentence
