"""Incidents made by chance: three services, much noise, and one thing that is wrong.

Each has 24 minutes of its own, in the middle of which the fault begins. Everything goes
through the collector's own steps into one store.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)

from godot_otel import queue, store
from godot_otel_collector.partitions import Partitions
from godot_otel_collector.preparation import Preparation
from godot_otel_collector.writer import Writer

HALF = timedelta(minutes=12)
REQUESTS = 1_700  # of an incident; about seven lines each
KINDS = ("attribute", "version", "environment", "template")
_SERVICES = (
    "shop", "orders", "payments", "stock", "mail", "auth", "billing", "shipping",
    "pricing", "catalog", "gateway", "accounts",
)  # fmt: skip # names
_SYMPTOMS = ("checkout", "login", "refund", "upload", "signup", "search")
_KEYS = {
    "region": ("eu-1", "eu-2", "us-1", "us-2", "ap-1"),
    "tenant": ("acme", "globex", "initech", "umbrella", "hooli", "stark"),
    "payment.method": ("card", "paypal", "invoice", "voucher"),
    "device": ("ios", "android", "web", "kiosk"),
    "shard": ("s0", "s1", "s2", "s3"),
    "currency": ("EUR", "USD", "GBP", "JPY"),
    "cache.node": ("c1", "c2", "c3"),
    "plan": ("free", "pro", "team", "enterprise"),
}
_ENVIRONMENTS = (("eu-production", 4), ("us-production", 3), ("staging", 3))
_CAUSES = (
    "connection to %s timed out after %d ms",
    "no row for id %s: got %d",
    "disk %s is full, %d bytes left",
    "certificate of %s expired %d days ago",
    "could not parse answer of %s at byte %d",
    "pool of %s exhausted, %d waiting",
    "lock on %s not granted within %d ms",
    "quota of %s exceeded by %d",
)
_DAILY = ("card of %s declined, code %d", "session %s expired %d s ago")
_BENIGN = ("flag %s reloaded, revision %d", "slow answer of %s: %d ms")

Values = tuple[Any, ...]


@dataclass
class Line:
    """One that is said about a request."""

    time: datetime
    severity: int
    template: str
    values: Values
    trace_id: bytes
    attributes: dict[str, str]
    span_id: bytes = b""
    """Empty: one for all services of its trace."""


@dataclass
class Incident:
    """What is wrong, and how it looks; ``symptom`` is all that is told."""

    seed: int
    onset: datetime
    kind: str = ""
    services: list[str] = field(default_factory=list)
    guilty: str = ""
    differs: str = ""

    def __post_init__(self) -> None:
        self.random = rng = random.Random(self.seed)
        self.kind = rng.choice(KINDS)
        self.services = rng.sample(_SERVICES, 3)
        self.guilty = rng.choice(self.services[1:])
        self.operation = rng.choice(_SYMPTOMS)
        names = rng.sample(sorted(_KEYS), 4)
        self.keys = {name: _weighted(rng, _KEYS[name]) for name in names}
        self.cause, self.known = rng.sample(_CAUSES, 2)
        self.seen_before = rng.random() < 0.5  # the cause's line, now and then
        self.versions = {
            one: [f"{rng.randint(1, 4)}.{rng.randint(0, 20)}.{rng.randint(0, 9)}"]
            for one in self.services
        }
        upgraded = self.guilty if self.kind == "version" else rng.choice(self.services)
        self.versions[upgraded].append(self.versions[upgraded][0] + "1")
        self.broken = self._broken(upgraded)
        self.noisy = rng.choice(self.services)  # has more errors of other kinds

    def _broken(self, upgraded: str) -> tuple[str, str]:
        """The key and value of requests that fail; of a template, any may."""
        key, value = "template", self.cause
        if self.kind == "attribute":
            key = self.random.choice(sorted(self.keys))
            value = self.random.choice([one for one, _ in self.keys[key]][1:])
        elif self.kind == "version":
            key, value = "version", self.versions[upgraded][1]
        elif self.kind == "environment":
            key, value = "environment", self.random.choice(_ENVIRONMENTS)[0]
        self.differs = f"{key}={value}"
        return key, value

    @property
    def symptom(self) -> str:
        return (
            f"{self.services[0]}: {self.operation} fails since {self.onset:%FT%H:%MZ}"
        )

    # --- its lines

    def entries(self) -> Iterator[queue.Entry]:
        """Its batches, each of one resource and a few minutes."""
        groups: dict[tuple[str, ...], list[Line]] = defaultdict(list)
        start, step = self.onset - HALF, 2 * HALF / REQUESTS
        for number in range(REQUESTS):
            for key, line in self._request(start + number * step):
                groups[(*key, f"{line.time:%H}{line.time.minute // 8}")].append(line)
        for (service, environment, version, _), lines in groups.items():
            yield entry(service, environment, version, lines)

    def _request(self, begins: datetime) -> Iterator[tuple[tuple[str, ...], Line]]:
        rng = self.random
        trace_id, clock = rng.randbytes(16), itertools.count()
        environment = _choose(rng, _ENVIRONMENTS)
        attributes = {key: _choose(rng, values) for key, values in self.keys.items()}
        late = begins >= self.onset
        version = {
            one: rng.choice(kinds) if late else kinds[0]
            for one, kinds in self.versions.items()
        }
        facts = {
            **attributes, "environment": environment, "version": version[self.guilty],
        }  # fmt: skip # what may be wrong with a request

        def said(service: str, severity: int, template: str, *values: Any):
            time = begins + timedelta(milliseconds=7 * next(clock))
            line = Line(time, severity, template, values, trace_id, attributes)
            return (service, environment, version[service]), line

        failing = self._fails(facts, late=late)
        depth = len(self.services)
        ids = f"{rng.randrange(10**6):x}", rng.randrange(1000)
        for service in self.services:
            yield said(service, 9, f"{self.operation} %s begins, attempt %d", *ids)
            if rng.random() < (0.08 if late and service == self.noisy else 0.02):
                yield said(service, 17, rng.choice(_DAILY), *ids)
            if rng.random() < 0.02 or (late and rng.random() < 0.05):
                yield said(service, 13, _BENIGN[late], *ids)
            if failing and service == self.guilty:
                yield said(service, 17, failing, *ids)
                depth = self.services.index(service)
                break
        for index in reversed(range(depth)):
            service = self.services[index]
            if failing:
                below = self.services[index + 1]
                yield said(service, 17, "%s answered %d", below, 502)
            else:
                yield said(service, 9, f"{self.operation} %s done in %d ms", *ids)

    def _fails(self, facts: dict[str, str], *, late: bool) -> str | None:
        """The line of the failure, if this request fails."""
        rng, (key, value) = self.random, self.broken
        met = key == "template" or facts[key] == value
        if late and met and rng.random() < (0.3 if key == "template" else 0.9):
            return self.cause
        if rng.random() < 0.01:
            return self.cause if self.seen_before else self.known
        return None


def _weighted(rng: random.Random, values: Iterable[str]) -> list[tuple[str, int]]:
    weighted = [(one, rng.randint(2, 5)) for one in values]
    rng.shuffle(weighted)
    return weighted


def _choose(rng: random.Random, weighted: Iterable[tuple[str, int]]) -> str:
    values, weights = zip(*weighted, strict=True)
    return str(rng.choices(values, weights)[0])


def entry(
    service: str, environment: str, version: str, lines: list[Line]
) -> queue.Entry:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    for key, value in (
        ("service.name", service),
        ("service.version", version),
        ("deployment.environment.name", environment),
    ):
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_logs.add()
    scope.scope.name = f"{service}.requests"
    for line in lines:
        record = scope.log_records.add()
        record.time_unix_nano = int(line.time.timestamp() * 1_000_000) * 1000
        record.severity_number = line.severity
        record.severity_text = {9: "INFO", 13: "WARN", 17: "ERROR"}[line.severity]
        record.body.string_value = line.template % line.values
        record.trace_id = line.trace_id
        record.span_id = line.span_id or line.trace_id[:8]
        record.flags = 1
        for key, value in line.attributes.items():
            record.attributes.add(key=key).value.string_value = value
        template = record.attributes.add(key="log.record.template")
        template.value.string_value = line.template
    minted = queue.batch_id(int(lines[0].time.timestamp() * 1000))
    return queue.Entry(minted, b"logs", len(lines), request.SerializeToString())


async def fill(dsn: str, incidents: list[Incident]) -> int:
    """Store all their lines; return how many."""
    moments = [
        one.onset + part for one in incidents for part in (-HALF, timedelta(), HALF)
    ]
    groups = ([*one.entries()] for one in incidents)
    return await write(dsn, groups, moments, datetime.now(UTC))


async def write(
    dsn: str,
    groups: Iterable[list[queue.Entry]],
    moments: list[datetime],
    arrived: datetime,
) -> int:
    """Store groups of entries by a collector's own steps; return how many lines.

    *moments* are in every hour that they are of; *arrived* is the queue's time of them.
    """
    partitions = Partitions(dsn)
    await partitions.create_ahead()
    times = [int(moment.timestamp() * 1_000_000) for moment in moments]
    await partitions.ensure(times, [queue.batch_id(time // 1000) for time in times])
    preparation = Preparation(retention_days=partitions.rules.retention_days)
    writer = Writer(dsn, partitions=partitions, stopping=asyncio.Event())
    stream_id = b"%d-0" % int(arrived.timestamp() * 1000)
    stored = 0
    for group in groups:
        prepared = preparation.of(
            [(stream_id, _fields(entry)) for entry in group], partitions.logs
        )
        assert prepared.group is not None
        await writer.write(prepared.group)
        stored += sum(batch.stored for batch in prepared.group.batches)
    await writer.close()
    async with await store.connect(dsn) as connection:
        await connection.execute("ANALYZE")
    return stored


def _fields(entry: queue.Entry) -> dict[bytes, bytes]:
    fields = entry.fields()
    return dict(zip(fields[::2], fields[1::2], strict=True))


def incidents(seeds: Iterable[int], now: datetime) -> list[Incident]:
    """One after the other, the last not long ago."""
    last = (now - HALF - timedelta(minutes=5)).replace(second=0, microsecond=0)
    return [
        Incident(seed, last - number * 2 * HALF) for number, seed in enumerate(seeds)
    ]
