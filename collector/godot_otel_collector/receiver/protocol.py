"""HTTP/1.1, and a word to those who come with gRPC instead."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from godot_otel_collector.receiver.reports import Reports

_PREFACE = b"PRI * HTTP/2.0"


def protocol(reports: Reports) -> type[H11Protocol]:
    """Make the class of connections; gRPC clients are named to *reports*."""

    class Protocol(H11Protocol):
        """One connection; HTTP/2, which begins with a preface, is closed at once."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._fresh = True

        def data_received(self, data: bytes) -> None:
            if self._fresh and data.startswith(_PREFACE):
                reports.warn(
                    "grpc_client",
                    "a client speaks gRPC, which is not served here: set"
                    " OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf where it runs",
                )
                self.transport.close()
                return
            self._fresh = False
            super().data_received(data)

    return Protocol
