"""A pipeline of real processes that die, with an oracle beside it.

They are forked from a process that has imported what they need, so that starting one
costs little and a test can kill many.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

import redis
from fix_launch import FEW
from fix_oracle import POISON, Oracle, spans, text
from fix_otlp import entry
from fix_processes import wait_until

from godot_otel import cli, fault, queue

NOWHERE = "redis://127.0.0.1:1/0"  # nothing listens there
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([
    "godot_otel.cli.serve", "godot_otel.cli.spool", "godot_otel_collector.collector",
    "godot_otel_exporter.providers", "godot_otel_exporter.direct",
    "godot_otel.stack.postgres", "godot_otel.stack.valkey",
    "opentelemetry.instrumentation.auto_instrumentation",
])  # fmt: skip # what takes long


def _begin(environ: Mapping[str, str], log: Path) -> None:
    os.environ.update(environ)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    importlib.reload(fault)  # it reads its variable when it is imported


def _command(environ: Mapping[str, str], log: Path, *arguments: str) -> None:
    _begin(environ, log)
    sys.exit(cli.main(list(arguments)))


def _collect(environ: Mapping[str, str], log: Path, dead_seconds: float) -> None:
    from godot_otel_collector import reader

    # As it is, but for the 15 s until a dead one's batches are taken over.
    reader.DEAD_MS = int(dead_seconds * 1000)
    reader.BEAT_SECONDS = dead_seconds / 5
    _command(environ, log, "collect")


def _application(
    environ: Mapping[str, str],
    log: Path,
    oracle: Oracle,
    name: str,
    batches: int,
    each: int,
    pause: float,
    poison_every: int,
) -> None:
    _begin(environ, log)
    from godot_otel_exporter import configure, force_flush

    configure(service_name=name)
    logger = logging.getLogger("oracle")
    logger.setLevel(logging.INFO)
    journal = oracle.journal(name)
    for batch in range(batches):
        records = [f"{name}.{batch}.{n}" for n in range(each)]
        if poison_every and batch % poison_every == 1:
            records[0] = f"{POISON}.{records[0]}"
        journal.tried(records)
        for record in records:
            logger.info(text(record))
        if force_flush(10):
            journal.accepted(records)
        time.sleep(pause)


class Pipeline:
    """One queue, one store, one spool, and the processes around them."""

    def __init__(
        self, folder: Path, redis_url: str, dsn: str, *, dead_seconds: float = 0.5
    ) -> None:
        self.redis_url, self.dsn = redis_url, dsn
        self.oracle = Oracle(folder / "journals")
        self.spool = folder / "spool"
        self.log = folder / "pipeline.log"
        self._dead_seconds = dead_seconds
        self._made = 0
        self.processes: list[BaseProcess] = []
        self._journal = self.oracle.journal("producer")
        self._producer = queue.Producer(redis_url)

    def application(
        self,
        batches: int,
        *,
        each: int = 10,
        pause: float = 0.0,
        poison_every: int = 0,
        url: str | None = None,
        **environ: str,
    ) -> BaseProcess:
        """Start a process that logs numbered records and notes which were accepted."""
        self._made += 1
        environ |= {
            "OTEL_EXPORTER_GODOT_ENDPOINT": url or self.redis_url,
            "OTEL_EXPORTER_GODOT_SPOOL_DIR": str(self.spool),
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": FEW,
        }
        name = f"application-{self._made}"
        how = (name, batches, each, pause, poison_every)
        return self._start(_application, environ, self.log, self.oracle, *how)

    def collector(self, url: str = "", dsn: str = "", **environ: str) -> BaseProcess:
        environ |= {
            "GODOT_REDIS_URL": url or self.redis_url,
            "GODOT_POSTGRES_DSN": self.dsn,
            "GODOT_POSTGRES_WRITER_DSN": dsn or self.dsn,
        }
        return self._start(_collect, environ, self.log, self._dead_seconds)

    def replay(self, **environ: str) -> BaseProcess:
        environ |= {
            "OTEL_EXPORTER_GODOT_ENDPOINT": self.redis_url,
            "OTEL_EXPORTER_GODOT_SPOOL_DIR": str(self.spool),
        }
        return self._start(_command, environ, self.log, "spool", "replay")

    def _start(self, target, *arguments) -> BaseProcess:
        process = _forks.Process(target=target, args=arguments, daemon=True)
        process.start()
        self.processes.append(process)
        return process

    def admit(self, *records: str, seconds_ago: float = 0) -> None:
        """Hand records to the queue as exporters do: a batch of logs, one of spans."""
        when = time.time_ns() - int(seconds_ago * 1e9)
        named = [f"{record}-span" for record in records]
        for ids, batch in (
            (records, entry([text(r) for r in records], time_ns=when)),
            (named, spans(named, time_ns=when)),
        ):
            self._journal.tried(ids)
            self._producer.admit(batch)
            self._journal.accepted(ids)

    def depth(self) -> int:
        with redis.Redis.from_url(self.redis_url) as client:
            return client.xlen(queue.stream_key())

    def waiting(self) -> int:
        return len(list(self.spool.glob("*.batch")))

    def finish(self) -> None:
        """Let healthy processes bring everything into the store, and a fresh record."""
        self._made += 1
        self.admit(f"fresh-{self._made}")
        if self.waiting():
            ended(self.replay(), 0)
        collector = self.collector()
        wait_until(lambda: self.depth() == 0, "the queue to drain")
        collector.terminate()
        ended(collector, 0)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()
        self._producer.close()


def ended(process: BaseProcess, status: int) -> None:
    """Wait for the end of *process*, which must be this one."""
    process.join(30)
    assert process.exitcode == status, process.exitcode


def killed_itself(process: BaseProcess) -> None:
    ended(process, -signal.SIGKILL)
