"""A whole pipeline, and everything that may happen to it, by chance.

Used by ``faults/soak.py``: real servers, two collectors and three applications, with
proxies between them. What dies is started again by ``tend``, as a supervisor does.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis
from fix_oracle import poisonous
from fix_pipeline import Pipeline
from fix_proxy import WAYS, LossyProxy

from godot_otel import fault, queue, store
from godot_otel.stack import ports
from godot_otel.stack.part import Part
from godot_otel.stack.postgres import Postgres
from godot_otel.stack.valkey import Valkey

COLLECTORS, APPLICATIONS = 2, 3
DEAD_SECONDS = 2.0
_POISON_EVERY = 25  # batches of an application
_SPLIT = fault.POINTS.index("after_read")
_OF_APPLICATIONS = fault.POINTS[:_SPLIT]
_OF_COLLECTORS = fault.POINTS[_SPLIT:-2]  # without those of maintenance
_SPOILED = (
    ("queue", b"payload", b""),
    ("reading", b"XREADGROUP", b"payload"),
    ("reading", b"EVALSHA", b""),
    ("store", b"COMMIT", b""),
)
"""Link, the request whose answer is spoiled, and what must be in that."""


class Breakage:
    """Its pipeline runs when it is made; each of ``kinds`` lets something happen to it.

    What stays alive afterwards is mended at once; what died waits for ``tend``.
    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.random = random.Random(seed)
        self.valkey = Valkey(folder / "valkey", port=ports.free())
        # fsync=off loses what is committed when power fails, not when a process dies.
        self.postgres = Postgres(folder / "postgres", settings={"fsync": "off"})
        self.valkey.start()
        self.postgres.start()
        dsn = self.postgres.dsn()
        asyncio.run(store.migrate(dsn, retention_days=7))
        poisonous(dsn)
        self.pipeline = Pipeline(
            folder, self.valkey.url, dsn, dead_seconds=DEAD_SECONDS
        )
        server = ("127.0.0.1", self.valkey.port)
        socket = f"{self.postgres.socket_folder}/.s.PGSQL.5432"
        self.proxies = {
            "queue": LossyProxy(server),
            "reading": LossyProxy(server),
            "store": LossyProxy(socket),
        }
        self.collectors = [self.collector() for _ in range(COLLECTORS)]
        self.applications = [self.application() for _ in range(APPLICATIONS)]
        self.spooled: set[str] = set()
        """Every file that was seen waiting on disk."""

    def collector(self, **environ: str) -> BaseProcess:
        parts = urlsplit(self.pipeline.dsn)
        port = self.proxies["store"].port
        user = parts.netloc.rpartition("@")[0]
        dsn = f"postgresql://{user}@127.0.0.1:{port}{parts.path}?sslmode=disable"
        url = self.proxies["reading"].redis_url(self.valkey.url)
        return self.pipeline.collector(url, dsn, **environ)

    def application(self, **environ: str) -> BaseProcess:
        return self.pipeline.application(
            10**9,
            pause=0.04,
            poison_every=_POISON_EVERY,
            url=self.proxies["queue"].redis_url(self.valkey.url),
            **environ,
        )

    def pause(self, least: float, most: float) -> None:
        """Let time pass, and see what waits on disk meanwhile."""
        ends = time.monotonic() + self.random.uniform(least, most)
        while (left := ends - time.monotonic()) > 0:
            self.spooled |= {file.stem for file in self.pipeline.spool.glob("*.batch")}
            time.sleep(min(left, 0.1))

    def tend(self) -> None:
        """Start again what has died."""
        self.tend_collectors()
        self.applications = [
            a if a.is_alive() else self.application() for a in self.applications
        ]

    def tend_collectors(self) -> None:
        self.collectors = [
            c if c.is_alive() else self.collector() for c in self.collectors
        ]

    def close(self) -> None:
        self.pipeline.close()
        for proxy in self.proxies.values():
            proxy.close()
        self.valkey.stop()
        self.postgres.stop()
        self.postgres.wipe()

    # --- what may happen

    def kinds(self) -> list[Callable[[], None]]:
        return [
            self.collector_killed, self.collector_stopped, self.collector_crashes,
            self.application_killed, self.application_crashes,
            self.queue_stopped, self.queue_restarted, self.queue_killed,
            self.queue_out_of_memory, self.group_destroyed,
            self.store_restarted, self.store_stopped_at_once, self.table_locked,
            self.answers_spoiled, self.everything_killed,
        ]  # fmt: skip # along the pipeline

    def collector_killed(self) -> None:
        self.random.choice(self.collectors).kill()
        self.pause(0, 2)

    def collector_stopped(self) -> None:
        with stopped(self.random.choice(self.collectors).pid):
            self.pause(DEAD_SECONDS * 1.2, DEAD_SECONDS * 2)

    def collector_crashes(self) -> None:
        place = self.random.randrange(COLLECTORS)
        point = self.random.choice(_OF_COLLECTORS)
        self.collectors[place].kill()
        self.collectors[place].join()
        passing = f"{point}:{self.random.randint(1, 4)}"
        self.collectors[place] = self.collector(GODOT_FAULT=passing)
        self.pause(0.5, 2)

    def application_killed(self) -> None:
        self.random.choice(self.applications).kill()
        self.pause(0, 1)

    def application_crashes(self) -> None:
        place = self.random.randrange(APPLICATIONS)
        point = self.random.choice(_OF_APPLICATIONS)
        self.applications[place].kill()
        passing = f"{point}:{self.random.randint(1, 9)}"
        self.applications[place] = self.application(GODOT_FAULT=passing)
        self.pause(0.5, 2)

    def queue_stopped(self) -> None:
        with stopped(self.valkey.pid):
            self.pause(2.2, 3.5)  # longer than an exporter waits for it

    def queue_restarted(self) -> None:
        self.valkey.stop()
        self.pause(0, 1)
        self.valkey.start()

    def queue_killed(self) -> None:
        end(self.valkey, signal.SIGKILL)
        self.pause(0, 2)
        self.valkey.start()

    def queue_out_of_memory(self) -> None:
        with redis.Redis.from_url(self.valkey.url) as client:
            client.config_set("maxmemory", "1")
            self.pause(0.5, 1.5)
            client.config_set("maxmemory", "0")

    def group_destroyed(self) -> None:
        with redis.Redis.from_url(self.valkey.url) as client:
            client.xgroup_destroy(queue.stream_key(), queue.GROUP)

    def store_restarted(self) -> None:
        self.postgres.stop()
        self.pause(0, 2)
        self.postgres.start()

    def store_stopped_at_once(self) -> None:
        end(self.postgres, signal.SIGQUIT)
        self.postgres.start()

    def table_locked(self) -> None:
        with psycopg.connect(self.pipeline.dsn) as connection:
            connection.execute("LOCK TABLE logs IN ACCESS EXCLUSIVE MODE")
            self.pause(1, 2)

    def answers_spoiled(self) -> None:
        for link, word, answer in _SPOILED:
            self.proxies[link].spoil(word, self.random.choice(WAYS), answer)
            self.pause(0.3, 0.8)

    def everything_killed(self) -> None:
        for collector in self.collectors:
            collector.kill()
        end(self.valkey, signal.SIGKILL)
        end(self.postgres, signal.SIGKILL)
        self.postgres.start()
        self.valkey.start()


@contextmanager
def stopped(pid: int | None) -> Iterator[None]:
    assert pid is not None
    with suppress(ProcessLookupError):  # it may have died of another fault by now
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def end(part: Part, number: int) -> None:
    assert part.process is not None
    os.kill(part.process.pid, number)
    part.process.wait()
