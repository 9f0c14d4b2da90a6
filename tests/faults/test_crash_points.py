"""Wherever a process dies, once or again, every accepted record is stored once."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import redis
from fix_lines import Lines, Row, wherever
from fix_oracle import RIGHT, poisonous
from fix_partitions import run, tables
from fix_pipeline import NOWHERE, Pipeline, ended, killed_itself
from fix_processes import wait_until

from godot_otel import fault

TIMES = pytest.mark.parametrize("times", [1, 3], ids=["once", "repeatedly"])
APPLICATION = ["after_batch_id", "after_xadd_sent"]
SPOOLING = ["spool_tmp_written", "spool_renamed"]
COLLECTOR = [
    "after_read", "after_ledger", "mid_copy", "mid_dead_letter", "before_commit",
    "after_commit_before_ack", "after_ack_before_del",
    "partition_created_not_attached",
]  # fmt: skip # in the order of a batch's way

_hours = itertools.count(2, 2)


@pytest.fixture(scope="module")
def pipeline(valkey, postgres, template, tmp_path_factory) -> Iterator[Pipeline]:
    """One for all points: what one of them has left behind, the next one meets."""
    name, url = "crash_points", f"{valkey.url.rpartition('/')[0]}/15"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        poisonous(postgres.dsn(name))
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        made = Pipeline(tmp_path_factory.mktemp(name), url, postgres.dsn(name))
        made.finish()
        yield made
        made.close()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_every_point_is_here():
    alone = {"spool_sent_not_unlinked", "detached_not_dropped", "packed_in_part"}
    assert {*APPLICATION, *SPOOLING, *COLLECTOR} | alone == {*fault.POINTS}


@TIMES
@pytest.mark.parametrize("point", APPLICATION)
def test_an_application_dies_on_the_way_to_the_queue(pipeline, point, times):
    for _ in range(times):
        killed_itself(pipeline.application(3, GODOT_FAULT=f"{point}:2"))
    pipeline.application(1).join(30)
    pipeline.finish()
    assert pipeline.oracle.verdict(pipeline.dsn) == RIGHT


@TIMES
@pytest.mark.parametrize("point", SPOOLING)
def test_an_application_dies_on_the_way_to_the_disk(pipeline, point, times):
    for _ in range(times):
        killed_itself(pipeline.application(3, url=NOWHERE, GODOT_FAULT=f"{point}:2"))
    assert pipeline.waiting() >= times
    pipeline.application(1).join(30)
    pipeline.finish()
    assert pipeline.waiting() == 0
    assert pipeline.oracle.verdict(pipeline.dsn) == RIGHT


@TIMES
def test_a_replay_dies_before_it_removes_what_it_has_sent(pipeline, times):
    pipeline.application(3, url=NOWHERE).join(30)
    assert pipeline.waiting() == 3
    for _ in range(times):
        killed_itself(pipeline.replay(GODOT_FAULT="spool_sent_not_unlinked:1"))
    assert pipeline.waiting() == 3
    pipeline.finish()
    assert pipeline.oracle.verdict(pipeline.dsn) == RIGHT


@TIMES
@pytest.mark.parametrize("point", COLLECTOR)
def test_a_collector_dies(pipeline, point, times):
    for turn in range(times):
        name = f"{point}-{times}-{turn}"
        pipeline.admit(*(f"{name}-{n}" for n in range(10)), f"poison-{name}")
        # Late ones, for which there is no partition yet.
        pipeline.admit(f"late-{name}", seconds_ago=3600 * next(_hours))
        killed_itself(pipeline.collector(GODOT_FAULT=f"{point}:1"))
    pipeline.finish()
    assert pipeline.oracle.verdict(pipeline.dsn) == RIGHT


@TIMES
@pytest.mark.parametrize("copies", [4, 5, 6], ids=["spans", "filters", "counts"])
def test_a_collector_dies_while_it_copies_spans(pipeline, copies, times):
    for turn in range(times):
        pipeline.admit(*(f"copying-{copies}-{times}-{turn}-{n}" for n in range(10)))
        killed_itself(pipeline.collector(GODOT_FAULT=f"mid_copy:{copies}"))
    pipeline.finish()
    assert pipeline.oracle.verdict(pipeline.dsn) == RIGHT


@TIMES
def test_a_collector_dies_while_it_packs(times, redis_url, store_dsn, tmp_path):
    when = datetime.now(UTC) - timedelta(days=2)
    start = when.replace(minute=0, second=0, microsecond=0)
    rows = [
        Row(f"{n} of 13000", start + timedelta(seconds=n / 5)) for n in range(13_000)
    ]
    Lines(store_dsn).add(*rows)
    made = Pipeline(tmp_path, redis_url, store_dsn)
    rest = "SELECT count(*) FROM logs"
    every = f"SELECT count(*), count(DISTINCT body) FROM {wherever('body')}"
    for turn in range(times):
        killed_itself(made.collector(GODOT_FAULT="packed_in_part:1"))
        assert run(store_dsn, rest)[0][0] <= 13_000 - (turn + 1) * 2048
        assert run(store_dsn, every) == [(13_000, 13_000)]
    collector = made.collector()
    wait_until(lambda: run(store_dsn, rest) == [(0,)], "all lines to be packed")
    collector.terminate()
    ended(collector, 0)
    assert run(store_dsn, every) == [(13_000, 13_000)]


@TIMES
def test_a_collector_dies_before_it_drops_what_it_has_detached(pipeline, times):
    before = tables(pipeline.dsn)
    when = datetime.now(UTC) - timedelta(days=9)
    Lines(pipeline.dsn).add(Row("too old", when, service=f"old-{times}"))
    old = tables(pipeline.dsn) - before
    for _ in range(times):
        killed_itself(pipeline.collector(GODOT_FAULT="detached_not_dropped:1"))
    assert tables(pipeline.dsn) & old
    collector = pipeline.collector()
    wait_until(lambda: not tables(pipeline.dsn) & old, "old partitions to go")
    collector.terminate()
    ended(collector, 0)
    pipeline.finish()
    assert pipeline.oracle.verdict(pipeline.dsn) == RIGHT
