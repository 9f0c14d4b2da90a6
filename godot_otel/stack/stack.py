"""Everything of one data directory: started in order, watched, ended in order."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from godot_otel import settings, state
from godot_otel.errors import GodotError, SettingError
from godot_otel.stack import part, ports, processes, record, unprivileged
from godot_otel.stack.addresses import bare_postgres, bare_redis
from godot_otel.stack.announce import Announce
from godot_otel.stack.directory import DataDirectory
from godot_otel.stack.part import Part
from godot_otel.stack.program import Program
from godot_otel.stack.servers import Servers, check_redis

REDIS_PORT = 6390
MCP_PORT = 9060
OTLP_PORT = 4318
RETENTION_BYTES = 10_000_000_000
OURSELVES = (sys.executable, "-m", "godot_otel")
PROGRAMS_STOP_TIMEOUT = 4.0  # a collector finishes its transaction
SERVERS_STOP_TIMEOUT = 5.0  # with the programs', within the 10 s that are promised


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person may choose; a port of None is the remembered or default one."""

    redis_port: int | None = None
    mcp_port: int | None = None
    otlp_port: int | None = None
    workers: int = 1
    allow: tuple[str, ...] = ()
    """Flags of the MCP server: what it may do beside reading."""


class Stack:
    """The parts of one data directory, whose lock the caller holds."""

    def __init__(
        self,
        directory: DataDirectory,
        choices: Choices,
        announce: Announce,
        *,
        ourselves: Sequence[str] = OURSELVES,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._directory = directory
        self._announce = announce
        self._ourselves = list(ourselves)
        self._environ = {k: v for k, v in environ.items() if k != "NOTIFY_SOCKET"}
        self._workers = choices.workers
        self._allow = choices.allow
        known = directory.keys.port
        self._mcp_port = ports.choose(
            choices.mcp_port, known("mcp"), MCP_PORT, flag="--mcp-port"
        )
        self._otlp_port = ports.choose(
            choices.otlp_port, known("otlp"), OTLP_PORT, flag="--otlp-port"
        )
        redis_port = 0
        if settings.value("redis_url", environ) is None:
            redis_port = ports.choose(
                choices.redis_port, known("redis"), REDIS_PORT, flag="--redis-port"
            )
        self._servers = Servers(directory, redis_port, environ)
        self._collectors: list[Program] = []
        self._receiver: Program | None = None
        self._mcp: Program | None = None

    @property
    def parts(self) -> list[Part]:
        """All parts so far, in the order of their start."""
        servers = (self._servers.valkey, self._servers.postgres)
        programs = (*self._collectors, self._receiver, self._mcp)
        return [part for part in (*servers, *programs) if part is not None]

    def start(self, wait: Callable[[float], None]) -> None:
        """Start everything in order, each announced once it works.

        *wait* sleeps, and may raise to give up; call ``stop`` then, as after any error.
        """
        self._start_valkey(wait)
        self._start_postgres(wait)
        addresses = self._servers.addresses()
        self._environ |= addresses.environ()
        self._environ["GODOT_DATA_DIR"] = str(self._directory.path)
        self._migrate(wait)
        unprivileged.own_folder(self._directory.sockets, 0o700)
        self._start_collectors(wait)
        self._start_receiver(wait)
        self._start_mcp(wait)

    def _start_valkey(self, wait: Callable[[float], None]) -> None:
        valkey = self._servers.valkey
        if valkey is None:
            url = self._servers.addresses().redis_url
            check_redis(url)
            self._announce.works("Queue", f"{bare_redis(url)} (GODOT_REDIS_URL)")
            return
        self._start(valkey, wait)
        self._directory.keys.remember_port("redis", valkey.port)
        self._announce.works("Valkey", bare_redis(valkey.url))

    def _start_postgres(self, wait: Callable[[float], None]) -> None:
        postgres = self._servers.postgres
        if postgres is None:
            return  # announced once its schema is there
        self._start(postgres, wait)
        self._servers.create_roles()
        self._announce.works("Postgres", bare_postgres(postgres.owner_dsn))

    def _migrate(self, wait: Callable[[float], None]) -> None:
        self._announce.working("Bringing the schema up to date")
        log = self._directory.log("migrate")
        # The disk is of somebody who may have given it no thought.
        limit = ["--at-most", str(RETENTION_BYTES)] if self._servers.postgres else []
        processes.rotate(log)
        before = log.stat().st_size if log.exists() else 0
        process = processes.spawn(
            [*self._ourselves, "migrate", *limit], log=log, environ=self._environ
        )
        try:
            while process.poll() is None:
                wait(part.POLL_INTERVAL)
        finally:
            process.terminate()  # a migration is one transaction; does nothing if over
            processes.wait_or_kill(process, PROGRAMS_STOP_TIMEOUT)
        if process.returncode != 0:
            kind = SettingError if process.returncode == 2 else GodotError
            said = processes.last_words(log, since=before)
            raise kind(said or f"the migration failed: see {log}.")
        dsn = self._servers.addresses().postgres_dsn
        self._announce.works("Schema", bare_postgres(dsn))

    def _start_collectors(self, wait: Callable[[float], None]) -> None:
        for number in range(1, self._workers + 1):
            name = "collector" if self._workers == 1 else f"collector-{number}"
            collector = self._program(name, name.capitalize(), ["collect"], number)
            self._collectors.append(collector)
            self._start(collector, wait)
            self._announce.works(collector.title, "drains the queue into the store")

    def _start_receiver(self, wait: Callable[[float], None]) -> None:
        port = str(self._otlp_port)
        self._receiver = self._program("receiver", "OTLP", ["receive", "--port", port])
        self._start(self._receiver, wait)
        self._directory.keys.remember_port("otlp", self._otlp_port)
        self._announce.works("OTLP", self._otlp_url)

    def _start_mcp(self, wait: Callable[[float], None]) -> None:
        port = str(self._mcp_port)
        arguments = ["mcp", "--http", *self._allow, "--port", port]
        self._mcp = self._program("mcp", "MCP", arguments)
        self._start(self._mcp, wait)
        self._directory.keys.remember_port("mcp", self._mcp_port)
        self._announce.works("MCP", self._mcp_url)

    def _program(
        self, name: str, title: str, arguments: list[str], number: int = 1
    ) -> Program:
        return Program(
            title,
            [*self._ourselves, *arguments],
            environ=ports.of_collector(number, self._environ),
            log=self._directory.log(name),
            notify=self._directory.sockets / f"{name}.sock",
        )

    def _start(self, part: Part, wait: Callable[[float], None]) -> None:
        self._announce.working(f"Starting {part.title}")
        part.start(launched=self.record, wait=wait)

    @property
    def _mcp_url(self) -> str:
        return f"http://{ports.HOST}:{self._mcp_port}/mcp"

    @property
    def _otlp_url(self) -> str:
        return f"http://{ports.HOST}:{self._otlp_port}"

    def _pids(self) -> dict[str, list[int]]:
        parts: dict[str, list[Part | None]] = {
            "redis": [self._servers.valkey],
            "postgres": [self._servers.postgres],
            "collector": [*self._collectors, self._receiver],
            "mcp": [self._mcp],
        }
        return {
            name: [part.pid for part in some if part and part.pid is not None]
            for name, some in parts.items()
        }

    def record(self) -> None:
        """Note who runs, for an `up` after this one was killed."""
        record.write(self._directory.processes, self._pids())

    def publish(self) -> dict[str, Any]:
        """Write state.json anew and return what it says."""
        pids = self._pids()
        facts = {
            "pid": os.getpid(),
            "pids": {
                name: some if name == "collector" else next(iter(some), None)
                for name, some in pids.items()
            },
            **self._servers.addresses().state(),
            "mcp_url": self._mcp_url,
            "otlp_url": self._otlp_url,
            "web_url": None,
        }
        state.write(self._directory.path, facts)
        return facts

    def stop(self) -> None:
        """End everything: those who use a thing before the thing."""
        state.remove(self._directory.path)  # first: nobody is sent to what is ending
        programs = [self._mcp, self._receiver, *self._collectors]
        part.stop_all([p for p in programs if p], PROGRAMS_STOP_TIMEOUT)
        servers: list[Part | None] = [self._servers.valkey, self._servers.postgres]
        part.stop_all([p for p in servers if p], SERVERS_STOP_TIMEOUT)
        self._directory.processes.unlink(missing_ok=True)
        self._directory.drop_sockets()
