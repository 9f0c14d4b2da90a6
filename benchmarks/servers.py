"""The servers a benchmark runs against: the embedded ones, durable as by default."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from godot_otel import store
from godot_otel.stack.postgres import Postgres
from godot_otel.stack.valkey import Valkey


@dataclass
class Servers:
    folder: Path
    postgres: Postgres
    valkey: Valkey
    _databases: int = 0

    def new_store(self, *, migrated: bool = True) -> str:
        """Make an empty database and return its owner's DSN."""
        import psycopg

        self._databases += 1
        name = f"bench_{self._databases}"
        with psycopg.connect(self.postgres.dsn("postgres"), autocommit=True) as c:
            c.execute(f"CREATE DATABASE {name}")
        dsn = self.postgres.dsn(name)
        if migrated:
            asyncio.run(store.migrate(dsn, retention_days=7))
        return dsn

    def drop_store(self, dsn: str) -> None:
        """Drop a database that ``new_store`` made; nobody is connected any more."""
        import psycopg

        name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        with psycopg.connect(self.postgres.dsn("postgres"), autocommit=True) as c:
            c.execute(f"DROP DATABASE {name} (FORCE)")

    @contextlib.contextmanager
    def collector(self, dsn: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run ``godot-otel collect``; the block begins when it is ready."""
        path = str(self.folder / "ready")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(path)
            ready.settimeout(30)
            process = subprocess.Popen(
                [sys.executable, "-m", "godot_otel", "collect"],
                env=os.environ
                | {
                    "GODOT_REDIS_URL": self.valkey.url,
                    "GODOT_POSTGRES_DSN": dsn,
                    "NOTIFY_SOCKET": path,
                },
                stdout=(self.folder / "collector.log").open("ab"),
            )
            ready.recv(100)
            Path(path).unlink()
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Start both servers in a temporary directory; stop and delete them after."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends them as well
    with tempfile.TemporaryDirectory(prefix="godot-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        postgres, valkey = Postgres(folder / "pg"), Valkey(folder / "valkey")
        try:
            postgres.start()
            valkey.start()
            yield Servers(folder, postgres, valkey)
        finally:
            valkey.stop()
            postgres.stop()
            postgres.wipe()


def memory(pid: int) -> float:
    """Memory of a process and its children in MB, what they share counted once."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(_proportional(int(one)) for one in (pid, *children)) / 1024


def _proportional(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0
