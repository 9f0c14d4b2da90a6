"""Rows a second of one collector against the original design, on the same machine.

The original: a Redis list of JSON objects, a worker that takes them one by one with
BRPOP and writes an INSERT of 100 rows a transaction, into a table partitioned by day
with all its indexes inline: trace id, component, level, time, words of the message,
attributes. Both get the same records and the same servers. Runs alternate;
medians count.

    python benchmarks/original.py [--records 100000] [--original-records 20000]
                                  [--runs 3] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import redis
from drain import drain
from generator import batches
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from servers import Servers, servers

LIST = "logs:queue"
BATCH_RECORDS = 100
SCHEMA = """
CREATE TABLE logs_original (
    id bigserial, trace_id uuid, component varchar(100), level varchar(20),
    message text, data jsonb, created_at timestamptz NOT NULL,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX ON logs_original (trace_id);
CREATE INDEX ON logs_original (component);
CREATE INDEX ON logs_original (level);
CREATE INDEX ON logs_original (created_at);
CREATE INDEX ON logs_original USING gin (to_tsvector('english', message));
CREATE INDEX ON logs_original USING gin (data);
"""
INSERT = (
    "INSERT INTO logs_original (trace_id, component, level, message, data, created_at)"
    " VALUES " + ", ".join(["(%s, %s, %s, %s, %s, %s)"] * BATCH_RECORDS)
)


def objects(records: int) -> Iterator[dict[str, Any]]:
    """Yield the generator's records as the original's clients wrote them."""
    for entry in batches(records):
        request = ExportLogsServiceRequest.FromString(entry.payload)
        for resource in request.resource_logs:
            component = resource.resource.attributes[0].value.string_value
            for record in resource.scope_logs[0].log_records:
                data = {}
                for pair in record.attributes:
                    data[pair.key] = getattr(pair.value, pair.value.WhichOneof("value"))
                made = datetime.fromtimestamp(record.time_unix_nano / 1e9, UTC)
                yield {
                    "component": component,
                    "level": record.severity_text,
                    "message": record.body.string_value,
                    "trace_id": str(uuid.UUID(bytes=record.trace_id)),
                    "data": data,
                    "created_at": made.isoformat(),
                }


def original(bench: Servers, records: int) -> float:
    """Fill the list, then time the worker until it is empty and all is committed."""
    dsn = bench.new_store(migrated=False)
    client = redis.Redis.from_url(bench.valkey.url)
    client.delete(LIST)
    texts = [json.dumps(fields) for fields in objects(records)]
    for start in range(0, records, 1000):
        client.lpush(LIST, *texts[start : start + 1000])
    with psycopg.connect(dsn) as connection:
        connection.execute(SCHEMA)
        today = datetime.now(UTC).date()
        for day in (today - timedelta(1), today, today + timedelta(1)):
            connection.execute(
                f"CREATE TABLE logs_{day:%Y%m%d} PARTITION OF logs_original FOR VALUES"
                f" FROM ('{day} 00:00+00') TO ('{day + timedelta(1)} 00:00+00')"
            )
        connection.commit()
        start_time = time.perf_counter()
        _work(client, connection, records)
        seconds = time.perf_counter() - start_time
        found = connection.execute("SELECT count(*) FROM logs_original").fetchone()
    assert found == (records,), found
    client.close()
    return records / seconds


def _work(client: redis.Redis, connection: psycopg.Connection, records: int) -> None:
    values: list[object] = []
    for _ in range(records):
        fields = json.loads(client.brpop([LIST])[1])
        values += (
            fields["trace_id"],
            fields["component"],
            fields["level"],
            fields["message"],
            json.dumps(fields["data"]),
            fields["created_at"],
        )
        if len(values) == 6 * BATCH_RECORDS:
            connection.execute(INSERT, values)
            connection.commit()
            values = []
    assert not values, f"--original-records must be a multiple of {BATCH_RECORDS}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--original-records", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ours: list[float] = []
    theirs: list[float] = []
    entries = list(batches(options.records))
    with servers() as bench:
        for run in range(options.runs):
            ours.append(drain(bench, "logs", entries)[0])
            theirs.append(original(bench, options.original_records))
            if not options.json:
                print(f"run {run + 1}: collector {ours[-1]:,.0f} rows/s,"
                      f" original design {theirs[-1]:,.0f} rows/s",
                      flush=True)  # fmt: skip # one line of figures
    result = {
        "collector_rows_per_second": round(statistics.median(ours)),
        "original_rows_per_second": round(statistics.median(theirs)),
        "ratio": round(
            statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 1
        ),
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(f"median: collector {result['collector_rows_per_second']:,} rows/s,"
              f" original design {result['original_rows_per_second']:,} rows/s,"
              f" ratio {result['ratio']}")  # fmt: skip # one line of figures


if __name__ == "__main__":
    main()
