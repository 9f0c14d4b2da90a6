"""The program that ``emit.py`` measures: logs one way and prints what it cost, as JSON.

python emitter.py plain|stock|ours CASE RECORDS
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import threading
import time
from collections.abc import Callable

BURST, BURSTS = 200, 40
VALUES = {"user": "u-18223", "order": 81723, "amount": 149.5, "region": "eu-west-1"}


def main() -> None:
    way, case, records = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
    logger = logging.getLogger("shop.orders")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    flush = WAYS[way](logger)
    extra = dict(list(VALUES.items())[: case["attributes"]]) or None
    if case.get("encoders"):
        print(json.dumps(encoders(logger, extra)))
        return
    call = failing(logger) if case.get("exceptions") else plain(logger, extra)
    time.sleep(0.5)
    burst = BURST // (10 if case.get("exceptions") else 1)
    print(json.dumps(measure(call, flush, records, case["threads"], burst)))


def measure(
    call: Callable, flush: Callable, calls: int, threads: int, burst: int = BURST
) -> dict[str, float]:
    """What one of *calls* costs its thread and the process, in microseconds."""
    took, pace = [], []
    for _ in range(BURSTS):
        pace.append(same_work())
        began = time.thread_time()
        for number in range(burst):
            call(number)
        took.append((time.thread_time() - began) / burst)
        flush()  # nothing works beside the next burst
    before = time.process_time()
    spread(call, calls, threads)
    flush()
    cpu = (time.process_time() - before) / calls
    figures = {"call": statistics.median(took), "cpu": cpu}
    microseconds = {name: seconds * 1e6 for name, seconds in figures.items()}
    return {**microseconds, "pace": statistics.median(pace)}


def same_work() -> float:
    """Seconds of CPU that the same work takes in this process, whatever the way.

    A shared machine gives one process a slower core than the next.
    """
    began = time.thread_time()
    for _ in range(200):
        json.dumps(VALUES)
    return time.thread_time() - began


def plain(logger: logging.Logger, extra: dict[str, object] | None) -> Callable:
    def call(number: int) -> None:
        logger.info("order %s of %s was charged", number, "bob", extra=extra)

    return call


def failing(logger: logging.Logger) -> Callable:
    def fail(depth: int) -> None:
        if depth:
            fail(depth - 1)
        else:
            raise ValueError("the card was declined")

    def call(number: int) -> None:
        try:
            fail(9)
        except ValueError:
            logger.exception("order %s failed", number)

    return call


def spread(call: Callable, records: int, threads: int) -> None:
    """Call from several threads at once."""

    def work() -> None:
        for number in range(records // threads):
            call(number)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def set_up_plain(logger: logging.Logger) -> Callable:
    return lambda: None


def set_up_stock(logger: logging.Logger) -> Callable:
    from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import (
        BatchLogRecordProcessor,
        LogRecordExporter,
        LogRecordExportResult,
    )

    class Discarding(LogRecordExporter):
        def export(self, batch: list) -> LogRecordExportResult:
            encode_logs(batch).SerializeToString()
            return LogRecordExportResult.SUCCESS

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return True

    provider = LoggerProvider()
    # All records are to be encoded, as all of ours are sent: its queue drops none.
    processor = BatchLogRecordProcessor(Discarding(), max_queue_size=1_000_000)
    provider.add_log_record_processor(processor)
    logger.addHandler(LoggingHandler(logger_provider=provider))
    return provider.force_flush


def set_up_ours(logger: logging.Logger) -> Callable:
    from godot_otel_exporter import force_flush  # set up by `godot-otel run`

    return lambda: force_flush(60)


def encoders(logger: logging.Logger, extra: dict[str, object] | None) -> dict:
    """Time both encoders over the same 512 records; redaction is part of ours."""
    from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import (
        InMemoryLogRecordExporter,
        SimpleLogRecordProcessor,
    )

    from godot_otel.redact import Redactor
    from godot_otel_exporter.encode import encode

    provider, memory = LoggerProvider(), InMemoryLogRecordExporter()
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    logger.addHandler(LoggingHandler(logger_provider=provider))
    call = plain(logger, extra)
    for number in range(512):
        call(number)
    records, redactor = memory.get_finished_logs(), Redactor()

    def cpu(work: Callable) -> float:
        taken = []
        for _ in range(20):
            before = time.process_time()
            work()
            taken.append((time.process_time() - before) / len(records) * 1e6)
        return statistics.median(taken)

    return {
        "stock": cpu(lambda: encode_logs(records).SerializeToString()),
        "ours": cpu(lambda: encode(records, redactor)),
    }


WAYS = {"plain": set_up_plain, "stock": set_up_stock, "ours": set_up_ours}

if __name__ == "__main__":
    main()
