"""The exporter: redact, encode, hand to the queue."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.resources import Resource

from godot_otel import settings
from godot_otel.errors import SettingError
from godot_otel.queue import Entry
from godot_otel.redact import Redactor
from godot_otel_exporter import lifecycle
from godot_otel_exporter._compat import (
    LoggerProvider,
    LogRecordExporter,
    LogRecordExportResult,
    ReadableLogRecord,
)
from godot_otel_exporter.capture import Captured
from godot_otel_exporter.diagnostics import report
from godot_otel_exporter.direct import Direct
from godot_otel_exporter.encode import Batch, encode
from godot_otel_exporter.endpoint import (
    default_spool_dir,
    report_unknown,
    setting,
    signal_setting,
)
from godot_otel_exporter.fallback import Fallback
from godot_otel_exporter.link import Link
from godot_otel_exporter.memory import Flush
from godot_otel_exporter.sender import SHUTDOWN_SECONDS, Sender
from godot_otel_exporter.spool import Spool

ARGUMENTS = (
    "endpoint", "timeout", "compression", "redact_keys", "spool_dir", "spool_max_bytes",
    "fallback",
)  # fmt: skip # one list

_OUTPUTS = ("stderr", "stdout", "none")


class GodotLogRecordExporter(LogRecordExporter):
    """Exports log records to godot-otel's queue, or to disk while it is away.

    Constructing it contacts nobody and starts no thread. An argument wins over its
    environment variable.

    Args:
        endpoint: the queue's Redis URL; default: the environment, then the stack that
            runs in the data directory. Without any, batches wait in the spool.
        timeout: how many seconds one export may take, all its attempts together.
        compression: ``none`` or ``gzip``.
        redact_keys: more names whose values become ``[REDACTED]``.
        spool_dir: the folder where batches wait while the queue is away.
        spool_max_bytes: how many bytes may wait there; 0: none.
        fallback: ``stderr``, ``stdout`` or ``none``: where lines go that neither queue
            nor disk can take.

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
        spool_dir: str | Path | None = None,
        spool_max_bytes: int | None = None,
        fallback: str | None = None,
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
        if fallback is None:
            fallback = setting("fallback")
        if isinstance(redact_keys, str):
            redact_keys = settings.words(redact_keys)
        self._gzip = _one_of("compression", compression, "none", "gzip") == "gzip"
        self._redactor = Redactor((*setting("redact_keys"), *redact_keys))
        self._direct: Direct | None = None
        self._sender = Sender(
            endpoint=_checked(endpoint),
            timeout=float(timeout),
            spool=_spool(spool_dir, spool_max_bytes),
            fallback=Fallback(_one_of("fallback", fallback, *_OUTPUTS)),
        )
        self._link = Link(self._sender)
        lifecycle.watch(self)

    def _after_fork(self) -> None:
        self._sender.after_fork()
        self._link.after_fork()

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Hand *batch* to the queue, or else to the spool; never raise.

        SUCCESS: one of them holds all records. FAILURE: some were dropped and counted.
        """
        try:
            with suppress_instrumentation():
                self._link.start()
                entries, sent = self._entries(batch)
                for entry in entries:
                    sent = self._sender.send(entry) and sent
        except Exception as error:
            report("internal", "exporting failed: %s", type(error).__name__)
            self.refuse("internal", len(batch), emitted=0)
            sent = False
        return LogRecordExportResult.SUCCESS if sent else LogRecordExportResult.FAILURE

    def serve(self, provider: LoggerProvider) -> None:
        """Encode the log calls that were captured for *provider*."""
        self._direct = Direct(provider, self._redactor)
        self._link.named(_service(provider.resource))

    def start(self) -> None:
        """Begin to follow levels, and to send what waits on disk, before any record."""
        self._link.start()

    def forward(self, items: Sequence[Captured | ReadableLogRecord]) -> None:
        """Encode *items* and pass them on without waiting for the queue."""
        for entry in self._entries(items)[0]:
            if not self._link.offer(entry):
                self._sender.keep(entry)

    def forward_mark(self, mark: Flush) -> None:
        """Let *mark* arrive after everything that was passed on before it."""
        self._link.forward(mark)

    def refuse(self, reason: str, records: int, *, emitted: int) -> None:
        """Count records that never came to be encoded."""
        self._sender.counters.emit(emitted)
        self._sender.counters.drop(reason, records)

    def pending(self) -> bool:
        """Say whether a batch is on its way."""
        return self._link.pending()

    def _entries(
        self, records: Sequence[Captured | ReadableLogRecord]
    ) -> tuple[list[Entry], bool]:
        """Encode records; return their batches, and whether all are in them."""
        counters = self._sender.counters
        counters.emit(len(records))
        if not counters.service and records:
            first = records[0]
            if isinstance(first, ReadableLogRecord):
                self._link.named(_service(first.resource))
        encoded = encode(records, self._redactor, self._direct)
        for reason, count in encoded.dropped.items():
            counters.drop(reason, count)
        encoding = b"gzip" if self._gzip else b""
        entries = [
            self._sender.entry(self._packed(batch), encoding=encoding)
            for batch in encoded.batches
        ]
        return entries, not encoded.dropped.total()

    def _packed(self, batch: Batch) -> Batch:
        if not self._gzip:
            return batch
        # Level 1: the queue's memory is dear, the application's CPU dearer.
        return Batch(gzip.compress(batch.payload, 1, mtime=0), batch.records)

    def leave(self, timeout: float) -> None:
        """Tell the queue that this process ends, for up to *timeout* seconds."""
        self._link.leave(timeout)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until no batch is on its way; False when *timeout_millis* passed."""
        if not self._link.pending():
            return True
        mark = Flush()
        self._link.forward(mark)
        return mark.wait(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = SHUTDOWN_SECONDS * 1000) -> None:
        """Let what is on its way arrive, within 5 s; the rest goes to the spool."""
        self._link.close(min(timeout_millis / 1000, SHUTDOWN_SECONDS))

    def last_threads(self) -> None:
        """Start no thread any more, and close no connection somebody may be using."""
        self._link.end()

    def end(self, timeout: float) -> None:
        """Have no thread any more; see ``GodotLogRecordProcessor.end``."""
        self.last_threads()
        self.shutdown(timeout * 1000)


def _one_of(name: str, value: str, *allowed: str) -> str:
    if value not in allowed:
        raise SettingError(f"{name}: {value!r} is none of {', '.join(allowed)}")
    return value


def _spool(folder: str | Path | None, max_bytes: int | None) -> Spool:
    if folder is None:
        folder = default_spool_dir()
    if max_bytes is None:
        max_bytes = setting("spool_max_bytes")
    if not isinstance(max_bytes, int) or max_bytes < 0:
        raise SettingError(f"spool_max_bytes: {max_bytes!r} is no number of bytes")
    return Spool(Path(folder).expanduser().absolute(), max_bytes=max_bytes)


def _checked(endpoint: str | None) -> str | None:
    try:
        return settings.redis_url(endpoint) if endpoint else None
    except ValueError as error:
        raise SettingError(f"endpoint: its value is no Redis URL: {error}") from None


def _service(resource: Resource | None) -> str:
    return str(resource.attributes.get("service.name", "")) if resource else ""
