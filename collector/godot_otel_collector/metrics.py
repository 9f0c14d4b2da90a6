"""The numbers of one collector, in Prometheus' form.

What is counted here is exact; what queue and store say is asked at the moment of the
answer, and left out where they did not say it.
"""

from __future__ import annotations

import math
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector as Source

from godot_otel.queue import Depth, stream_milliseconds
from godot_otel_collector.batch import Batch
from godot_otel_collector.probe import StoreFacts

MOST_SERVICES = 50
MOST_REASONS = 20
OTHER = "other"
LAG_SECONDS = 60.0
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

# name, what it means, where it stands in a Depth
_QUEUE: tuple[tuple[str, str, Callable[[Depth], float]], ...] = (
    ("records", "Records that wait in the queue.", lambda d: d.records),
    ("batches", "Batches that wait in the queue.", lambda d: d.batches),
    ("bytes", "Payload bytes that wait in the queue.", lambda d: d.bytes),
    ("max_records", "The queue refuses more than these records.",
     lambda d: d.max_records),
    ("max_bytes", "The queue refuses more than these bytes.", lambda d: d.max_bytes),
    ("oldest_age_seconds", "For how long the oldest batch waits.",
     lambda d: d.oldest_age_seconds),
)  # fmt: skip # a metric a row


class _Bounded:
    """Lets the first *most* values of a label through; what comes later is OTHER."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(value)
        return value


class Metrics:
    """Counts what one collector does; ``render`` gives all of it as text."""

    def __init__(
        self,
        *,
        reclaims: Callable[[], int] = lambda: 0,
        conflicts: Callable[[], int] = lambda: 0,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library's
        self._registry = registry = CollectorRegistry()
        self._service, self._reason = _Bounded(MOST_SERVICES), _Bounded(MOST_REASONS)
        self._failing_since: float | None = None
        self._committed: tuple[float, float] | None = None  # when, and the lag
        self._records = Counter(
            "godot_otel_stored_records", "Records stored.", ["service", "signal"],
            registry=registry,
        )  # fmt: skip # what, of whom, where
        self._bytes = Counter(
            "godot_otel_stored_bytes", "Payload bytes that stored records came in.",
            ["service", "signal"], registry=registry,
        )  # fmt: skip
        self._batches = Counter(
            "godot_otel_stored_batches",
            "Batches stored.",
            ["signal"],
            registry=registry,
        )
        self._dead = Counter(
            "godot_otel_dead_letters", "Records set aside as dead letters.",
            ["reason"], registry=registry,
        )  # fmt: skip
        self.transaction_seconds = Histogram(
            "godot_otel_transaction_seconds", "How long a transaction took, commit and"
            " dictionaries included.", registry=registry, buckets=_BUCKETS,
        )  # fmt: skip
        self.copy_seconds = Histogram(
            "godot_otel_copy_seconds", "How long the COPYs of a transaction took.",
            registry=registry, buckets=_BUCKETS,
        )  # fmt: skip
        self._asked = _Asked(reclaims, conflicts, self._failing, self._lag)
        registry.register(self._asked)
        ProcessCollector(registry=registry)

    def stored(self, batches: Iterable[Batch]) -> None:
        """Count what a transaction has committed."""
        newest = 0
        records: Counts[tuple[str, str]] = Counts()
        size: dict[tuple[str, str], float] = {}
        for batch in batches:
            newest = max(newest, stream_milliseconds(batch.stream_id))
            if batch.known:
                continue
            self._batches.labels(batch.signal).inc()
            for name, count in batch.services.items():
                key = name, batch.signal
                records[key] += count
                share = batch.size * count / batch.stored
                size[key] = size.get(key, 0.0) + share
            for letter in batch.dead:
                self._dead.labels(self._reason(letter.reason)).inc()
        for (name, signal), count in records.items():
            labels = self._service(name), signal
            self._records.labels(*labels).inc(count)
            self._bytes.labels(*labels).inc(size[name, signal])
        if newest:
            lag = max(0.0, time.time() - newest / 1000)
            self._committed = time.monotonic(), lag

    def store_fails(self) -> None:
        """Note that a transaction could not be done, and will be tried again."""
        if self._failing_since is None:
            self._failing_since = time.monotonic()

    def store_works(self) -> None:
        """Note that one could."""
        self._failing_since = None

    def _lag(self) -> float | None:
        """Give the lag of the last minute; an older one says nothing of today."""
        at, lag = self._committed or (-math.inf, 0.0)
        return lag if time.monotonic() - at < LAG_SECONDS else None

    def _failing(self) -> float:
        since = self._failing_since
        return 0.0 if since is None else time.monotonic() - since

    def render(self, depth: Depth | None, facts: StoreFacts | None) -> bytes:
        """Give everything as text; None: that could not be asked."""
        self._asked.depth, self._asked.facts = depth, facts
        return generate_latest(self._registry)


class _Asked(Source):
    """What is known only from others, made into metrics when it is asked for."""

    def __init__(
        self,
        reclaims: Callable[[], int],
        conflicts: Callable[[], int],
        failing: Callable[[], float],
        lag: Callable[[], float | None],
    ) -> None:
        self.depth: Depth | None = None
        self.facts: StoreFacts | None = None
        self._lag = lag
        self._reclaims, self._conflicts, self._failing = reclaims, conflicts, failing

    def describe(self) -> Iterator[Metric]:
        return iter(())  # or registering would ask

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "godot_otel_reclaimed_batches",
            "Batches taken over from dead collectors, or read a second time.",
            value=self._reclaims(),
        )
        yield CounterMetricFamily(
            "godot_otel_ledger_conflicts",
            "Batches that were stored already when they came.",
            value=self._conflicts(),
        )
        yield GaugeMetricFamily(
            "godot_otel_store_away_seconds",
            "For how long no transaction could be done; 0 while they can.",
            value=self._failing(),
        )
        # By two clocks where the queue is on another machine.
        newest = GaugeMetricFamily(
            "godot_otel_committed_lag_seconds",
            "From the queue's admission to the commit, of the newest batch stored"
            " within the last minute.",
        )
        if (lag := self._lag()) is not None:
            newest.add_metric([], lag)
        yield newest
        for name, known in (("queue", self.depth), ("store", self.facts)):
            yield GaugeMetricFamily(
                f"godot_otel_{name}_reachable",
                f"1 when the {name} answered just now, else 0.",
                value=known is not None,
            )
        if self.depth is not None:
            yield from _of_queue(self.depth)
        if self.facts is not None:
            yield from _of_store(self.facts)


def _of_queue(depth: Depth) -> Iterator[Metric]:
    for name, meaning, value in _QUEUE:
        yield GaugeMetricFamily(f"godot_otel_queue_{name}", meaning, value=value(depth))
    for name, admitted in (
        ("batches", depth.admitted_batches),
        ("records", depth.admitted_records),
    ):
        yield CounterMetricFamily(
            f"godot_otel_queue_admitted_{name}",
            f"How many {name} the queue has ever taken.",
            value=admitted,
        )


def _of_store(facts: StoreFacts) -> Iterator[Metric]:
    partitions = GaugeMetricFamily(
        "godot_otel_partitions",
        "Partitions of each table that take rows.",
        labels=["table"],
    )
    ahead = GaugeMetricFamily(
        "godot_otel_partitions_ahead_seconds",
        "How far from now the last partition of each table ends.",
        labels=["table"],
    )
    for one in facts.coverage:
        partitions.add_metric([one.table], one.partitions)
        ahead.add_metric([one.table], one.ahead_seconds)
    dropped = GaugeMetricFamily(
        "godot_otel_dropped_records",
        "Records that applications gave up, as those still remembered count them.",
        labels=["reason"],
    )
    bounded = _Bounded(MOST_REASONS)
    sums: dict[str, int] = {}
    for reason, records in facts.dropped.items():
        label = bounded(reason)
        sums[label] = sums.get(label, 0) + records
    for reason, records in sums.items():
        dropped.add_metric([reason], records)
    yield from (partitions, ahead, dropped)
