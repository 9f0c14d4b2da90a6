"""Asks an OTLP receiver over one connection, and reads its answers."""

import gzip
import http.client
import json
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceResponse,
)

from godot_otel_collector.receiver.answers import Status

PROTOBUF, JSON = "application/x-protobuf", "application/json"


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def error(self) -> Any:
        """The Status of a refusal, in the encoding that its content type says."""
        if self.headers["content-type"] == JSON:
            return Status(**json.loads(self.body))
        assert self.headers["content-type"] == PROTOBUF
        return Status.FromString(self.body)

    def rejected(self) -> tuple[int, str]:
        assert self.status == 200, self
        partial = ExportLogsServiceResponse.FromString(self.body).partial_success
        return partial.rejected_log_records, partial.error_message


class Client:
    """Posts to /v1/logs; the connection stays open as far as the server lets it."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def send(
        self,
        body: bytes,
        form: str = PROTOBUF,
        *,
        method: str = "POST",
        path: str = "/v1/logs",
        packed: bool = False,
        **headers: str,
    ) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if form:
            named["Content-Type"] = form
        if packed:
            named["Content-Encoding"] = "gzip"
            body = gzip.compress(body)
        self.connection.request(method, path, body, named)
        found = self.connection.getresponse()
        return Answer(found.status, found.headers, found.read())

    def close(self) -> None:
        self.connection.close()
