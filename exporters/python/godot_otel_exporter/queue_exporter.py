"""What the exporters of both signals do alike: redact, encode, hand to the link."""

from __future__ import annotations

import gzip
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.resources import Resource

from godot_otel import settings
from godot_otel.queue import Entry
from godot_otel.redact import Redactor
from godot_otel_exporter.destination import Destination, link_to, one_of
from godot_otel_exporter.diagnostics import report
from godot_otel_exporter.encode import Batch, Encoded
from godot_otel_exporter.endpoint import report_unknown, setting, signal_setting
from godot_otel_exporter.memory import Flush
from godot_otel_exporter.sender import SHUTDOWN_SECONDS

ARGUMENTS = (
    "endpoint", "timeout", "compression", "redact_keys", "spool_dir", "spool_max_bytes",
    "fallback",
)  # fmt: skip # one list


class QueueExporter(ABC):
    """Exports to godot-otel's queue, or to disk while it is away.

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

    signal: ClassVar[str]

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
        if compression is None:
            compression = signal_setting(self.signal, "compression")
        self._gzip = one_of("compression", compression, "none", "gzip") == "gzip"
        if isinstance(redact_keys, str):
            redact_keys = settings.words(redact_keys)
        self._redactor = Redactor((*setting("redact_keys"), *redact_keys))
        destination = Destination.of(
            self.signal, endpoint=endpoint, timeout=timeout, spool_dir=spool_dir,
            spool_max_bytes=spool_max_bytes, fallback=fallback,
        )  # fmt: skip # where to
        self._link = link_to(destination, self.signal)
        self._sender = self._link.sender

    @abstractmethod
    def _encode(self, items: Sequence[Any]) -> Encoded:
        """Encode *items* of the exporter's signal; never raises."""

    def named(self, resource: Resource | None) -> None:
        """Take the name of this process's service from *resource*."""
        if resource is not None:
            self._link.named(str(resource.attributes.get("service.name", "")))

    def start(self) -> None:
        """Begin to follow levels, and to send what waits on disk, before any record."""
        self._link.start()

    def forward(self, items: Sequence[Any]) -> None:
        """Encode *items* and pass them on without waiting for the queue."""
        for entry in self._entries(items)[0]:
            if not self._link.offer(entry):
                self._sender.keep(entry)

    def forward_mark(self, mark: Flush) -> None:
        """Let *mark* arrive after everything that was passed on before it."""
        self._link.forward(mark)

    def refuse(self, reason: str, records: int, *, emitted: int) -> None:
        """Count records or spans that never came to be encoded."""
        self._sender.counters.emit(emitted)
        self._sender.counters.drop(reason, records)

    def pending(self) -> bool:
        """Say whether a batch is on its way."""
        return self._link.pending()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until no batch is on its way; False when *timeout_millis* passed."""
        return self._link.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = SHUTDOWN_SECONDS * 1000) -> None:
        """Let what is on its way arrive, within 5 s; the rest goes to the spool."""
        self._link.release(self.signal, min(timeout_millis / 1000, SHUTDOWN_SECONDS))

    def last_threads(self) -> None:
        """Start no thread any more, and close no connection somebody may be using."""
        self._link.last_threads()

    def _send(self, batch: Sequence[Any]) -> bool:
        """Hand *batch* to the queue, or else to the spool; say whether one has all."""
        try:
            with suppress_instrumentation():
                self._link.start()
                entries, sent = self._entries(batch)
                for entry in entries:
                    sent = self._sender.send(entry) and sent
        except Exception as error:
            report("internal", "exporting failed: %s", type(error).__name__)
            self.refuse("internal", len(batch), emitted=0)
            return False
        return sent

    def _entries(self, items: Sequence[Any]) -> tuple[list[Entry], bool]:
        """Encode *items*; return their batches, and whether all are in them."""
        counters = self._sender.counters
        self._link.in_use.add(self.signal)
        counters.emit(len(items))
        if not counters.service and items:
            self.named(getattr(items[0], "resource", None))
        encoded = self._encode(items)
        for reason, count in encoded.dropped.items():
            counters.drop(reason, count)
        encoding = b"gzip" if self._gzip else b""
        entries = [
            self._sender.entry(
                self._packed(batch), encoding=encoding, signal=self.signal.encode()
            )
            for batch in encoded.batches
        ]
        return entries, not encoded.dropped.total()

    def _packed(self, batch: Batch) -> Batch:
        if not self._gzip:
            return batch
        # Level 1: the queue's memory is dear, the application's CPU dearer.
        return Batch(gzip.compress(batch.payload, 1, mtime=0), batch.records)
