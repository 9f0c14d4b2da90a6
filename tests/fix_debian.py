"""Debian's Postgres 15, started like the embedded one, for the tests on 15."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg

PROGRAMS = Path("/usr/lib/postgresql/15/bin")


class DebianPostgres:
    def __init__(self, directory: Path, *, settings: dict[str, str]) -> None:
        self.directory = directory
        self.settings = settings
        root = os.geteuid() == 0
        self.account = pwd.getpwnam("postgres").pw_uid if root else None

    def dsn(self, database: str = "postgres") -> str:
        return f"host={self.directory} user=godot dbname={database}"

    def start(self) -> None:
        self.directory.mkdir(mode=0o700)
        if self.account is not None:
            os.chown(self.directory, self.account, -1)
        data = str(self.directory / "data")
        self._run("initdb", "-D", data, "-U", "godot", "-A", "trust", "-E", "UTF8")
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.directory),
            "max_locks_per_transaction": "1024",
            **self.settings,
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        self.process = subprocess.Popen(
            [PROGRAMS / "postgres", "-D", data, *arguments],
            user=self.account,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.dsn()).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            else:
                return

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [PROGRAMS / program, *arguments],
            user=self.account,
            check=True,
            capture_output=True,
            env={"LC_ALL": "C.UTF-8", "PATH": os.defpath},
        )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    def wipe(self) -> None:
        shutil.rmtree(self.directory)
