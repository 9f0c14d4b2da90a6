"""The exporter for any OpenTelemetry setup: redact, encode, hand to the queue."""

from __future__ import annotations

import gzip
import time
from collections.abc import Sequence
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation

from godot_otel import settings
from godot_otel.errors import SettingError
from godot_otel_exporter._compat import (
    LogRecordExporter,
    LogRecordExportResult,
    ReadableLogRecord,
)
from godot_otel_exporter.diagnostics import report
from godot_otel_exporter.encode import Batch, encode
from godot_otel_exporter.endpoint import report_unknown, setting, signal_setting
from godot_otel_exporter.redact import Redactor
from godot_otel_exporter.sender import SHUTDOWN_SECONDS, Sender

ARGUMENTS = ("endpoint", "timeout", "compression", "redact_keys")


class GodotLogRecordExporter(LogRecordExporter):
    """Exports log records to godot-otel's queue.

    Constructing it contacts nobody and starts no thread. An argument wins over its
    environment variable.

    Args:
        endpoint: the queue's Redis URL; default: the environment, then the stack that
            runs in the data directory. Without any, records are dropped and counted.
        timeout: how many seconds one export may take, all its attempts together.
        compression: ``none`` or ``gzip``.
        redact_keys: more names whose values become ``[REDACTED]``.

    Raises:
        TypeError: an argument's name is unknown.
        SettingError: an argument's value is malformed.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        timeout: float | None = None,
        compression: str | None = None,
        redact_keys: Sequence[str] = (),
        **unknown: Any,  # a YAML file's keys arrive here
    ) -> None:
        if unknown:
            raise TypeError(
                f"the godot exporter takes {', '.join(ARGUMENTS)};"
                f" not {', '.join(sorted(unknown))}"
            )
        report_unknown()
        if timeout is None:
            timeout = signal_setting("timeout") / 1000
        if not isinstance(timeout, (int, float)) or not timeout > 0:
            raise SettingError(f"timeout: {timeout!r} is no number of seconds above 0")
        if compression is None:
            compression = signal_setting("compression")
        if compression not in ("none", "gzip"):
            raise SettingError(f"compression: {compression!r} is neither none nor gzip")
        if isinstance(redact_keys, str):
            redact_keys = settings.words(redact_keys)
        self._gzip = compression == "gzip"
        self._redactor = Redactor((*setting("redact_keys"), *redact_keys))
        self._sender = Sender(endpoint=_checked(endpoint), timeout=float(timeout))

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Hand *batch* to the queue; wait for it up to the timeout, never raise.

        SUCCESS: the queue holds every record. FAILURE: some were dropped, and counted.
        """
        try:
            with suppress_instrumentation():
                sent = self._export(batch)
        except Exception as error:
            report("internal", "exporting failed: %s", type(error).__name__)
            sent = False
        return LogRecordExportResult.SUCCESS if sent else LogRecordExportResult.FAILURE

    def _export(self, records: Sequence[ReadableLogRecord]) -> bool:
        ends = time.monotonic() + self._sender.timeout
        self._sender.emit(len(records))
        encoded = encode(records, self._redactor)
        for reason, count in encoded.dropped.items():
            self._sender.drop(reason, count)
        service = _service(records)
        sent = [
            self._sender.send(
                self._packed(batch),
                service=service,
                encoding=b"gzip" if self._gzip else b"",
                ends=ends,
            )
            for batch in encoded.batches
        ]
        return all(sent) and not encoded.dropped.total()

    def _packed(self, batch: Batch) -> Batch:
        if not self._gzip:
            return batch
        # Level 1: the queue's memory is dear, the application's CPU dearer.
        return Batch(gzip.compress(batch.payload, 1, mtime=0), batch.records)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until no export is on its way; False when *timeout_millis* passed."""
        return self._sender.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = SHUTDOWN_SECONDS * 1000) -> None:
        """Let exports on their way finish, for 5 s at most, then refuse any more."""
        self._sender.shutdown(timeout_millis / 1000)


def _checked(endpoint: str | None) -> str | None:
    try:
        return settings.redis_url(endpoint) if endpoint else None
    except ValueError as error:
        raise SettingError(f"endpoint: its value is no Redis URL: {error}") from None


def _service(records: Sequence[ReadableLogRecord]) -> str:
    if not records or records[0].resource is None:
        return ""
    return str(records[0].resource.attributes.get("service.name", ""))
