"""A service that exports numbered records with back-pressure, for test_exactly_once.

    python emit.py FIRST COUNT

Records FIRST .. FIRST + COUNT - 1, a hundred to an export() call; exit status 1 if any
call did not answer SUCCESS. Ends when the spool is empty.
"""

import sys
import time

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import (
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.resources import Resource

from godot_otel_exporter.exporter import GodotLogRecordExporter

first, count = int(sys.argv[1]), int(sys.argv[2])
collected = []


class Collect(SimpleLogRecordProcessor):
    def on_emit(self, log_record):
        collected.append(log_record)


exporter = GodotLogRecordExporter(timeout=120)
spool = exporter._sender.spool
provider = LoggerProvider(resource=Resource.create({"service.name": f"emit-{first}"}))
provider.add_log_record_processor(Collect(exporter))
logger = provider.get_logger("emit")
failed = 0
for number in range(first, first + count):
    logger.emit(body=f"record {number}", attributes={"number": number})
    if len(collected) == 100:
        failed += exporter.export(collected) is not LogRecordExportResult.SUCCESS
        collected.clear()
failed += exporter.export(collected) is not LogRecordExportResult.SUCCESS
while spool.waiting():  # what the queue refused; every emitter replays it
    time.sleep(0.05)
provider.shutdown()
sys.exit(failed > 0)
