"""Answers in the encoding of the request: what was taken, and errors as Status."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

from google.protobuf import descriptor_pb2, json_format
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response

from godot_otel_collector.receiver.signals import Signal
from godot_otel_collector.wire import declare

_FIELD = descriptor_pb2.FieldDescriptorProto
# google/rpc/status.proto, but its details, which are never set here.
Status: Any = declare(
    "godot_otel.rpc",
    {"Status": [(1, "code", _FIELD.TYPE_INT32), (2, "message", _FIELD.TYPE_STRING)]},
)
# HTTP status -> google.rpc.Code
_CODES = {
    400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 3, 415: 3, 421: 3, 429: 8,
    503: 14,
}  # fmt: skip # a table
_INTERNAL = 13


class Encoding(StrEnum):
    """The two encodings of OTLP over HTTP, by their content type."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


def encoding(headers: Headers) -> Encoding | None:
    """Say in which encoding a request is; None for neither."""
    named = headers.get("content-type", "").partition(";")[0].strip().lower()
    return Encoding(named) if named in set(Encoding) else None


def taken(form: Encoding, signal: Signal, *, rejected: int, said: str) -> Response:
    """Answer that the queue holds every record but the *rejected* ones.

    Of none rejected, what is *said* is a warning, OTLP says.
    """
    message = signal.response()
    if said:
        setattr(message.partial_success, signal.rejected, rejected)
        message.partial_success.error_message = said
    if form is Encoding.JSON:
        body = json_format.MessageToJson(message, indent=None).encode()
    else:
        body = message.SerializeToString()
    return Response(body, media_type=form)


def error(headers: Headers, problem: HTTPException) -> Response:
    """Answer with a Status; in JSON to those who speak neither encoding."""
    code = _CODES.get(problem.status_code, _INTERNAL)
    form = encoding(headers) or Encoding.JSON
    if form is Encoding.JSON:
        body = json.dumps({"code": code, "message": problem.detail}).encode()
    else:
        body = Status(code=code, message=problem.detail).SerializeToString()
    return Response(body, problem.status_code, problem.headers, media_type=form)
