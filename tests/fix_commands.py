"""Reading commands as processes, in a pipe or on a terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path


class Run:
    """Runs a command; gives its stdout, and keeps its stderr in ``said``."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.environ = {
            "PATH": os.environ["PATH"], "GODOT_POSTGRES_READER_DSN": dsn,
            "GODOT_DATA_DIR": str(folder), "TERM": "xterm", "TZ": "UTC",
        }  # fmt: skip # the environment
        self.said = ""

    def __call__(self, *arguments: str, terminal: bool = False) -> str:
        if terminal:
            return self._terminal(arguments)
        done = self._run(arguments)
        assert done.returncode == 0, done.stderr
        self.said = done.stderr
        return done.stdout

    def refused(self, *arguments: str) -> str:
        done = self._run(arguments)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert len(done.stderr.splitlines()) == 1
        return done.stderr

    def _run(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "godot_otel", *arguments],
            env=self.environ, capture_output=True, text=True, timeout=30,
        )  # fmt: skip # one call

    def _terminal(self, arguments: tuple[str, ...]) -> str:
        main, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
        done = subprocess.run(
            [sys.executable, "-m", "godot_otel", *arguments],
            env=self.environ, stdout=end, stderr=subprocess.PIPE, text=True,
            check=True, timeout=30,
        )  # fmt: skip # one call
        self.said = done.stderr
        shown = os.read(main, 65536).decode()
        os.close(end)
        os.close(main)
        return shown
