"""The records every benchmark uses: real lines, ten to a trace, four attributes each.

Lines come from ``../shared/data/loghub`` where it is there, else from the few below;
every run of digits is replaced by random ones of the same length.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)

from godot_otel import queue

LOGHUB = Path(__file__).parents[2] / "shared" / "data" / "loghub"
OWN = (
    "Accepted password for deploy from 10.2.137.15 port 53312 ssh2",
    "Receiving block blk_5142679 src: /10.251.70.211:53132 dest: /10.251.70.5:50010",
    'GET /v2/54fadb412c4e40cd/servers/detail HTTP/1.1" status: 200 len: 1893',
    "Partition rdd_42_22 not found, computing it after 3711 ms",
    "order 81723 of customer 5512 was charged 149 euros, attempt 2 of 3",
)
_DIGITS = re.compile(r"\d+")
SERVICES = ("shop", "payments", "stock", "mail")
ROUTES = ("/cart", "/checkout", "/orders", "/health")


def lines() -> list[str]:
    """The lines that records are made from."""
    found: list[str] = []
    for file in sorted(LOGHUB.glob("*_2k.log")):
        found += file.read_text("utf-8", "replace").splitlines()
    return found or list(OWN)


def _randomised(line: str, rng: random.Random) -> str:
    def digits(match: re.Match[str]) -> str:
        return "".join(rng.choices("0123456789", k=len(match.group())))

    return _DIGITS.sub(digits, line)


def batches(
    records: int,
    *,
    size: int = 512,
    seed: int = 1,
    clock: Callable[[], int] = time.time_ns,
    step_ns: int = 1000,
) -> Iterator[queue.Entry]:
    """Yield entries that hold *records* records, *size* to an entry.

    The first of an entry is of *clock*'s time, each other *step_ns* later.
    """
    rng = random.Random(seed)
    source = lines()
    trace_id, made = b"", 0
    while made < records:
        request = ExportLogsServiceRequest()
        group = request.resource_logs.add()
        service = rng.choice(SERVICES)
        for key, value in (
            ("service.name", service),
            ("service.version", "1.4.2"),
            ("deployment.environment.name", "production"),
        ):
            group.resource.attributes.add(key=key).value.string_value = value
        scope = group.scope_logs.add()
        scope.scope.name = f"{service}.views"
        count = min(size, records - made)
        now = clock()
        for offset in range(count):
            if (made + offset) % 10 == 0:
                trace_id = rng.randbytes(16)
            record = scope.log_records.add()
            record.time_unix_nano = now + offset * step_ns
            record.observed_time_unix_nano = now + offset * step_ns + 350
            record.severity_number = rng.choices((9, 13, 17), (90, 7, 3))[0]
            record.severity_text = {9: "INFO", 13: "WARN", 17: "ERROR"}[
                record.severity_number
            ]
            record.body.string_value = _randomised(rng.choice(source), rng)
            record.trace_id = trace_id
            record.span_id = rng.randbytes(8)
            record.flags = 1
            attributes = record.attributes
            attributes.add(key="user.id").value.int_value = rng.randrange(50_000)
            attributes.add(key="http.route").value.string_value = rng.choice(ROUTES)
            attributes.add(key="cached").value.bool_value = rng.random() < 0.5
            attributes.add(key="region").value.string_value = f"eu-{rng.randrange(9)}"
        made += count
        minted = queue.batch_id(now // 1_000_000)
        yield queue.Entry(minted, b"logs", count, request.SerializeToString())
