"""Whatever happens to the servers, collectors go on by themselves and lose nothing."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import psycopg
import pytest
import redis
from fix_oracle import RIGHT
from fix_outages import outage
from fix_pipeline import NOWHERE, Pipeline, ended
from fix_processes import wait_until

from godot_otel import queue, store
from godot_otel.stack import ports
from godot_otel.stack.postgres import Postgres
from godot_otel.stack.valkey import Valkey

_ROOT = os.geteuid() == 0


class Servers:
    """A queue and a store of their own, with a pipeline on them."""

    def __init__(self, folder, data) -> None:
        self.valkey = Valkey(folder / "valkey", port=ports.free())
        self.postgres = Postgres(
            data, settings={"fsync": "off", "max_connections": "12"}
        )
        self.valkey.start()
        self.postgres.start()
        self.dsn = self.postgres.dsn()
        asyncio.run(store.migrate(self.dsn))
        self.pipeline = Pipeline(folder, self.valkey.url, self.dsn, dead_seconds=5)
        self.collector = self.pipeline.collector()
        self.client = redis.Redis.from_url(self.valkey.url)
        self.count = 0

    def log(self, batches: int = 3) -> None:
        for _ in range(batches):
            self.count += 1
            self.pipeline.admit(*(f"{self.count}.{n}" for n in range(10)))

    def settle(self) -> None:
        """Everything is stored, by the one collector that was there all the time."""
        self.log(1)
        wait_until(lambda: self.pipeline.depth() == 0, "the queue to drain")
        assert self.collector.is_alive()
        assert self.pipeline.oracle.verdict(self.dsn) == RIGHT

    def close(self) -> None:
        self.collector.terminate()
        ended(self.collector, 0)
        self.pipeline.close()
        self.client.close()
        self.valkey.stop()
        self.postgres.stop()
        self.postgres.wipe()


@pytest.fixture(scope="module")
def shared(request, tmp_path_factory, server_folder) -> Iterator[Servers]:
    if request.config.getoption("--postgres") == "15":
        pytest.skip("stops a server of its own, which is the embedded one")
    made = Servers(tmp_path_factory.mktemp("servers"), server_folder / "servers")
    yield made
    made.close()


@pytest.fixture
def servers(shared: Servers) -> Servers:
    """The module's servers, at work."""
    shared.settle()
    return shared


@pytest.mark.parametrize("name", ["killed", "stalled", "restarted"])
def test_a_collector_goes_on_when_the_queue_is_back(servers, name):
    servers.log()
    with outage(name, servers.valkey):
        time.sleep(0.5)
    servers.settle()


def test_a_flushed_queue_gets_its_group_and_its_limits_back(servers):
    before = servers.client.hget(queue.meta_key(), "max_bytes")
    servers.client.flushall()
    wait_until(lambda: servers.client.exists(queue.stream_key()) == 1, "a new group")
    servers.settle()
    assert servers.client.hget(queue.meta_key(), "max_bytes") == before


def test_a_queue_that_became_a_replica_is_waited_for(servers):
    application = servers.pipeline.application(20, pause=0.02)
    wait_until(lambda: servers.pipeline.oracle.records("accepted"), "some records")
    servers.client.replicaof("127.0.0.1", 1)
    wait_until(lambda: servers.pipeline.waiting() > 1, "batches on disk")
    servers.client.replicaof("NO", "ONE")
    ended(application, 0)
    ended(servers.pipeline.replay(), 0)
    servers.settle()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "now"])
def test_a_store_that_was_stopped_in_the_middle_is_waited_for(servers, how):
    with closing(psycopg.connect(servers.dsn)) as holder:
        holder.execute("LOCK TABLE logs IN ACCESS EXCLUSIVE MODE")
        servers.log()
        blocked(holder, 1)
        os.kill(servers.postgres.pid or 0, how)
        servers.postgres.process.wait()
    servers.log()
    servers.postgres.start()
    servers.settle()


def test_whoever_holds_a_table_is_waited_for(servers):
    with psycopg.connect(servers.dsn) as holder:
        holder.execute("LOCK TABLE logs, batches IN ACCESS EXCLUSIVE MODE")
        servers.log()
        # Without a partition: creating one gives up after 2 s, and tries again.
        servers.pipeline.admit("late", seconds_ago=7200)
        blocked(holder, 1)
    servers.settle()


def test_a_store_without_a_free_connection_is_waited_for(servers):
    with ExitStack() as stack:
        own = stack.enter_context(psycopg.connect(servers.dsn, autocommit=True))
        taken = 0
        while taken < 3:  # again and again: the collector's own become free
            try:
                stack.enter_context(psycopg.connect(servers.dsn))
            except psycopg.OperationalError:
                taken += 1
                own.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'godot-otel%'"
                )
        servers.log()
        wait_until(
            lambda: "too many clients" in servers.pipeline.log.read_text(), "a refusal"
        )
    servers.settle()


def blocked(connection: psycopg.Connection, sessions: int) -> None:
    """Wait until so many sessions wait for a lock."""

    def waiting() -> bool:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted"
        ).fetchone()
        return row[0] >= sessions

    wait_until(waiting, "somebody to wait for a lock")


@pytest.fixture
def small_disk(server_folder) -> Iterator:
    if not _ROOT:
        pytest.skip("mounting a small file system needs root")
    folder = server_folder / "small"
    folder.mkdir(mode=0o711)
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m,mode=711", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine does not allow mounting a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_store_without_room_is_waited_for(request, small_disk, tmp_path):
    if request.config.getoption("--postgres") == "15":
        pytest.skip("fills the disk of a server of its own, which is the embedded one")
    servers = Servers(tmp_path, small_disk / "postgres")
    servers.settle()
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(200 << 20))
    wait_until(lambda: said_away(servers), "the store to refuse", seconds=30)
    filler.unlink()
    if not servers.postgres.alive():  # it ends itself when it cannot write its log
        servers.postgres.start()
    servers.settle()
    servers.close()


def said_away(servers: Servers) -> bool:
    servers.log()
    return "store_away" in servers.pipeline.log.read_text()


def test_what_waits_on_disk_is_sent_though_new_records_never_stop_coming(servers):
    ended(servers.pipeline.application(100, url=NOWHERE), 0)
    assert servers.pipeline.waiting() == 100
    busy = servers.pipeline.application(10**6)
    wait_until(lambda: servers.pipeline.waiting() == 0, "an empty spool", seconds=30)
    busy.terminate()
    ended(busy, -signal.SIGTERM)
    servers.settle()
