"""The app: what is served, and which status each outcome has.

| status | when | send again |
|---|---|---|
| 200 | the queue holds the records, but those that a partial success names | no |
| 400, 413, 415, 404, 405 | the request can never be taken | no |
| 401, 403, 421 | the client may not send here | no |
| 408, 429, 503 | too slow, too many at once, the queue is full or away | yes |
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from godot_otel import queue
from godot_otel.errors import QueueFullError, RetryableError
from godot_otel.redact import Redactor
from godot_otel_collector.receiver import answers, body
from godot_otel_collector.receiver.answers import Encoding
from godot_otel_collector.receiver.batches import batches
from godot_otel_collector.receiver.parsed import Parsed
from godot_otel_collector.receiver.parsing import parse
from godot_otel_collector.receiver.reports import Reports
from godot_otel_collector.receiver.signals import LOGS, TRACES, Signal
from godot_otel_collector.redaction import redact

MAX_IN_FLIGHT = 64
_RETRY = {"Retry-After": "2"}  # exporters give up after 10 s altogether
_NEVER = {400, 413, 415}
_AWAY_SECONDS = 1.0
_METRICS = "/v1/metrics"
_NO_METRICS = "metrics are not stored: set OTEL_METRICS_EXPORTER=none"


class Receiver:
    """Takes requests into the queue of *producer*, which the caller closes."""

    def __init__(
        self, producer: queue.Producer, redactor: Redactor, reports: Reports
    ) -> None:
        self._producer = producer
        self._redactor = redactor
        self._reports = reports
        self._in_flight = 0
        self._away_until = 0.0
        self.admitted_records = 0
        self.rejected_records = 0

    async def logs(self, request: Request) -> Response:
        """Answer once the queue holds what the request brought."""
        return await self._noted(request, LOGS)

    async def traces(self, request: Request) -> Response:
        """Answer once the queue holds what the request brought."""
        return await self._noted(request, TRACES)

    async def _noted(self, request: Request, signal: Signal) -> Response:
        """Answer; what can never be taken is in the log too, where it is looked for."""
        try:
            return await self._answer(request, signal)
        except HTTPException as problem:
            if problem.status_code in _NEVER:
                self._reports.warn(
                    "refused", "a client's request was refused: %s", problem.detail
                )
            raise

    async def _answer(self, request: Request, signal: Signal) -> Response:
        form = answers.encoding(request.headers)
        if form is None:
            raise HTTPException(415, f"Content-Type must be {' or '.join(Encoding)}")
        with self._room():
            raw = await body.read(request)
            packing = request.headers.get("content-encoding", "").strip().lower()
            taken, rejected, said = await asyncio.to_thread(
                self._take, raw, packing, form, signal
            )
        self.admitted_records += taken
        self.rejected_records += rejected
        return answers.taken(form, signal, rejected=rejected, said=said)

    @contextmanager
    def _room(self) -> Iterator[None]:
        if self._in_flight >= MAX_IN_FLIGHT:
            self._reports.warn("too_many", "more than %d requests at once, the rest"
                               " are told to come again", MAX_IN_FLIGHT)  # fmt: skip
            raise HTTPException(
                429, f"more than {MAX_IN_FLIGHT} requests at once", {"Retry-After": "1"}
            )
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def _take(
        self, raw: bytes, packing: str, form: Encoding, signal: Signal
    ) -> tuple[int, int, str]:
        """Bring a body into the queue; in a thread, because all of it blocks.

        Returns how many records were taken and rejected, and what to say of it.
        """
        data = body.unpacked(raw, packing)
        parsed = parse(data, form, signal)
        redact(parsed.request, self._redactor)
        found = batches(parsed, data)
        for entry in found.entries:
            self._admit(entry)
        said = _said(parsed, found.too_large)
        rejected = parsed.rejected + found.too_large
        if parsed.problem or rejected:
            self._reports.warn("rejected", "a client's %s", said)
        return sum(entry.records for entry in found.entries), rejected, said

    def _admit(self, entry: queue.Entry) -> None:
        # A server that hangs costs each attempt 2 s: not every request is to wait.
        if time.monotonic() < self._away_until:
            raise HTTPException(503, "the queue cannot be used", _RETRY)
        try:
            self._producer.admit(entry)
        except QueueFullError as error:
            self._reports.warn("queue_full", "%s; clients are told to wait", error)
            raise HTTPException(503, str(error), _RETRY) from None
        except RetryableError as error:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            self._reports.warn("queue_away", "%s; clients are told to wait", error)
            raise HTTPException(503, str(error), _RETRY) from None


def _said(parsed: Parsed, too_large: int) -> str:
    """What a client is told: which of its records were not taken, and what is odd."""
    lost = []
    if parsed.problem:
        many = parsed.rejected or "uncounted"  # where the list of records is none
        lost.append(f"{many} malformed, first {parsed.problem}")
    if too_large:
        lost.append(f"{too_large} larger than 4 MiB")
    said = [f"records not taken: {'; '.join(lost)}"] if lost else []
    return "; ".join(said + ([parsed.remarked] if parsed.remarked else []))


def build(receiver: Receiver) -> Starlette:
    """Make the app of *receiver*."""
    return Starlette(
        routes=[
            Route(LOGS.path, receiver.logs, methods=["POST"]),
            Route(TRACES.path, receiver.traces, methods=["POST"]),
            Route(_METRICS, _metrics, methods=["GET", "POST"]),
        ],
        exception_handlers={HTTPException: _refuse, Exception: _failed},
    )


async def _metrics(_: Request) -> Response:
    raise HTTPException(404, _NO_METRICS)


async def _refuse(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    if problem.status_code == 404 and request.url.path != _METRICS:
        problem = HTTPException(
            404, "logs go to /v1/logs and spans to /v1/traces; nothing else is here"
        )
    elif problem.status_code == 405:
        problem = HTTPException(405, "records are sent by POST", problem.headers)
    return answers.error(request.headers, problem)


async def _failed(request: Request, _: Exception) -> Response:
    problem = HTTPException(500, "the receiver failed; its log says why")
    return answers.error(request.headers, problem)
