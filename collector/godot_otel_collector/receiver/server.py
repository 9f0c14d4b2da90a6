"""Runs the receiver as a process: one socket, one queue."""

from __future__ import annotations

import asyncio
import logging

import uvicorn

from godot_otel import notify, queue
from godot_otel.errors import GodotError, SettingError
from godot_otel.redact import Redactor
from godot_otel.web import listening
from godot_otel_collector.receiver.access import guarded
from godot_otel_collector.receiver.app import Receiver, build
from godot_otel_collector.receiver.protocol import protocol
from godot_otel_collector.receiver.reports import Reports

log = logging.getLogger(__name__)

_SHUTDOWN_TIMEOUT = 3  # seconds, for requests in flight
_KEEP_ALIVE = 75  # seconds; longer than any exporter waits between two batches


async def serve(
    redis_url: str,
    *,
    host: str = "127.0.0.1",
    port: int = 4318,
    token: str | None = None,
    redactor: Redactor,
) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are answered first.

    Raises:
        SettingError: the port is taken, or others can reach *host* and no *token* is
            there to keep them out.
    """
    address = listening.address(host)
    if not token and not listening.is_loopback(address):
        raise SettingError(
            f"{host} can be reached by others: set GODOT_OTLP_TOKEN, which they then"
            " send as OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN, or use"
            " 127.0.0.1."
        )
    socket = listening.listen(address, port)
    producer = queue.Producer(redis_url)
    reports = Reports()
    receiver = Receiver(producer, redactor, reports)
    config = uvicorn.Config(
        guarded(build(receiver), token),
        http=protocol(reports),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
    )
    # It warns of what clients send, as often as they do.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    try:
        await _run(uvicorn.Server(config), listening.url(socket), socket)
    finally:
        producer.close()
    log.info("stopped: %d records admitted, %d rejected", receiver.admitted_records,
             receiver.rejected_records, extra={"action": "stopped"})  # fmt: skip # one


async def _run(server: uvicorn.Server, url: str, socket: listening.Socket) -> None:
    listening.stop_on_signals(server)
    serving = asyncio.create_task(server.serve(sockets=[socket]))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.01)
    if not serving.done():
        log.info("ready on %s", url, extra={"action": "ready"})
        notify.ready()
    await serving
    if not server.started:
        raise GodotError("the receiver did not start; its log says why")
