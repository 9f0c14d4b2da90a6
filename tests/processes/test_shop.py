"""The shop of the examples: one trace of three spans, each line under its own."""

from __future__ import annotations

import http.client
import socket
import sys
from pathlib import Path

from fix_launch import Running, lines, spans
from fix_processes import wait_until
from fix_serving import free_port
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SHOP = Path(__file__).parents[2] / "examples" / "shop"
INSTRUMENTED = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "celery,fastapi,httpx"}


def post(port: int, path: str) -> tuple[int, str]:
    """Return the status of the answer and the id of its trace."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers["traceresponse"].split("-")[1]


def listening(running: Running, port: int) -> None:
    def answers() -> bool:
        assert not running.ended(), running.printed()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    wait_until(answers, "an answer")


def test_a_request_through_both_services_is_one_tree(launch, queue):
    shop_port, payments_port = free_port(), free_port()
    payments = launch(
        "\n", sys.executable, str(SHOP / "payments.py"), PORT=str(payments_port),
        **INSTRUMENTED,
    )  # fmt: skip # one service
    shop = launch(
        "\n", "flask", "--app", str(SHOP / "shop.py"), "run", "--port", str(shop_port),
        PAYMENTS_URL=f"http://127.0.0.1:{payments_port}", **INSTRUMENTED,
    )  # fmt: skip # one service
    listening(payments, payments_port)
    listening(shop, shop_port)
    status, trace_id = post(shop_port, "/checkout/7")  # a card that is declined
    assert status == 502
    for running in (shop, payments):
        running.send(15)
        running.outcome()

    def of_trace(service: str) -> list[Span]:
        found = spans(queue, service)
        return [span for span in found if span.trace_id.hex() == trace_id]

    server = next(s for s in of_trace("run1") if s.kind == Span.SPAN_KIND_SERVER)
    client = next(s for s in of_trace("run1") if s.kind == Span.SPAN_KIND_CLIENT)
    (charge,) = of_trace("run0")
    assert len(of_trace("run1")) == 2
    assert (server.name, charge.name) == ("POST /checkout/<int:cart>", "POST /charge")
    assert server.parent_span_id == b""
    assert client.parent_span_id == server.span_id
    assert charge.parent_span_id == client.span_id
    assert charge.kind == Span.SPAN_KIND_SERVER
    assert [span.flags for span in (server, client, charge)] == [0x100, 0x100, 0x300]
    assert server.status.code == client.status.code == Status.STATUS_CODE_ERROR
    assert server.start_time_unix_nano < charge.start_time_unix_nano
    assert charge.end_time_unix_nano < server.end_time_unix_nano

    for service, logger, span in (
        ("run1", "shop.checkout", server), ("run0", "payments.cards", charge),
    ):  # fmt: skip # pairs
        own = [line for line in lines(queue, service) if line.logger == logger]
        assert len(own) == 2
        assert {line.trace_id for line in own} == {trace_id}
        under = [
            record.span_id
            for request in queue.requests()
            for group in request.resource_logs
            for scope in group.scope_logs
            if scope.scope.name == logger
            for record in scope.log_records
        ]
        assert set(under) == {span.span_id}
