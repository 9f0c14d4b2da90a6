"""Logs known lines as an application does, under a name of its own."""

from __future__ import annotations

import logging
import secrets

from opentelemetry.sdk.resources import Resource

from godot_otel_exporter._compat import LoggerProvider
from godot_otel_exporter.exporter import GodotLogRecordExporter
from godot_otel_exporter.handler import Handler
from godot_otel_exporter.processor import GodotLogRecordProcessor

SERVICE = "godot-otel-canary"
RUN = "canary.run"
NUMBER = "canary.number"


class Sender:
    """One run of lines; its handler is the exporter's own, attached to nothing else."""

    def __init__(self, endpoint: str) -> None:
        # A letter first: nothing may take it for a number.
        self.run = f"r{secrets.token_hex(6)}"
        self._provider = LoggerProvider(
            resource=Resource.create({"service.name": SERVICE}), shutdown_on_exit=False
        )
        exporter = GodotLogRecordExporter(endpoint=endpoint)
        self._provider.add_log_record_processor(GodotLogRecordProcessor(exporter))
        self._handler = Handler(self._provider, level=logging.INFO, direct=True)
        self._logger = logging.Logger("godot_otel.canary")

    def send(self, number: int) -> None:
        """Log the line *number*; never raises."""
        record = self._logger.makeRecord(
            self._logger.name, logging.INFO, __file__, 0,
            "canary %s sings line %d", (self.run, number), None,
            extra={RUN: self.run, NUMBER: number},
        )  # fmt: skip # where, what, and beside it
        self._handler.handle(record)

    def close(self) -> None:
        """Let what is on its way arrive at the queue or on disk, within 5 s."""
        self._provider.shutdown()
