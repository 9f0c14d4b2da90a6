"""A data directory that leaves nothing behind, and `godot-otel` run in it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fix_processes import FREE_PORTS

from godot_otel.stack import record
from godot_otel.stack.directory import DataDirectory
from godot_otel.stack.postgres import Postgres

WITH_STAND_INS = Path(__file__).with_name("up_with_stand_ins.py")
READY_TIMEOUT = 20.0


class Machine:
    """Runs `godot-otel` on one data directory."""

    output: int | None = None
    command = (sys.executable, str(WITH_STAND_INS))

    def __init__(self, path: Path) -> None:
        self.path = path
        self.directory = DataDirectory(path)
        self.log = path.with_name("up.out")
        self.environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GODOT_")},
            "GODOT_DATA_DIR": str(path),
        }
        self._ups: list[subprocess.Popen[bytes]] = []

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def up(self, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start `up` on free ports; return once it is ready."""
        ports = [] if arguments else FREE_PORTS
        process = self.begin("up", *ports, *arguments, **environ)
        deadline = time.monotonic() + READY_TIMEOUT
        while not self.ready(process.pid):
            assert process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        return process

    def begin(self, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [*self.command, *arguments],
                env=self.environ | environ,
                stdout=self.output or output,
                stderr=output,
            )
        self._ups.append(process)
        return process

    def ready(self, pid: int) -> bool:
        return self.state().get("pid") == pid

    def state(self) -> dict:
        try:
            return json.loads((self.path / "state.json").read_text())
        except FileNotFoundError:
            return {}

    def clean(self) -> None:
        for pid in record.read(self.directory.processes).get("up", {}):
            os.kill(pid, signal.SIGKILL)
        for process in self._ups:
            if process.poll() is None:
                process.kill()
            process.wait()
        record.end(self.directory.processes)
        if self.directory.keys.path.exists():
            self.directory.wipe()


@contextmanager
def folder() -> Iterator[Path]:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # for speed
    path = Path(tempfile.mkdtemp(prefix="godot-test-", dir=memory))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the account of Postgres can enter, unlike tmp_path as root."""
    with folder() as path:
        yield path


@pytest.fixture(scope="session")
def used_folder() -> Iterator[Path]:
    """A data directory whose Postgres has been made: that takes the longest."""
    with folder() as path:
        machine = Machine(path / "data")
        try:
            machine.up()
            machine.run("down")
            yield machine.path
        finally:
            machine.clean()


@pytest.fixture
def machine(open_folder: Path, used_folder: Path) -> Iterator[Machine]:
    """A machine on which `up` ran before."""
    subprocess.run(["cp", "-a", used_folder, open_folder / "data"], check=True)
    machine = Machine(open_folder / "data")
    yield machine
    machine.clean()


@pytest.fixture
def new_machine(open_folder: Path) -> Iterator[Machine]:
    """A machine without a data directory."""
    machine = Machine(open_folder / "data")
    yield machine
    machine.clean()


@pytest.fixture
def postgres(open_folder: Path) -> Iterator[Postgres]:
    postgres = Postgres(open_folder / "pg", settings={"fsync": "off"})
    yield postgres
    postgres.stop()
    postgres.wipe()
