"""Node.js, and the exporter for it with what its lock file names."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
PACKAGE = CHECKOUT / "exporters/node"
NEEDED_NODE = (20, 6)
INSTALL_SECONDS = 240


@dataclass(frozen=True)
class Node:
    """Runs programs that may load the exporter as any installed package."""

    program: str
    home: Path

    def environ(self, **environ: str) -> dict[str, str]:
        """A process's variables: no settings but *environ*, and a home of its own."""
        own = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        return own | environ

    def run(
        self, *arguments: str | Path, stdin: str = "", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments], input=stdin, env=self.environ(**environ),
            cwd=self.home, capture_output=True, text=True, timeout=120,
        )  # fmt: skip # what, and how

    def start(self, *arguments: str | Path, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.program, *arguments], env=self.environ(**environ), cwd=self.home,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip # what, and how

    def script(self, source: str, name: str = "app.js") -> Path:
        """Write a program beside which the package is installed."""
        file = self.home / name
        file.write_text(source)
        return file


def installed(folder: Path, *, omit: Sequence[str] = ()) -> None:
    """Have what the lock file of *folder* names; asks npm once, whoever comes first."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm here to install the exporter's libraries with")
    with (folder / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be at it
        mark = folder / "node_modules/installed"
        wanted = lock.read() + str(omit)
        if not mark.exists() or mark.read_text() != wanted:
            subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund",
                 *(f"--omit={kind}" for kind in omit)],
                cwd=folder, check=True, timeout=INSTALL_SECONDS,
            )  # fmt: skip # what, and how
            mark.write_text(wanted)


def node_program() -> str:
    found = os.environ.get("NODE") or shutil.which("node")
    if found is None:
        pytest.skip("there is no Node.js here")
    said = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
    if tuple(map(int, re.findall(r"\d+", said)))[:2] < NEEDED_NODE:
        pytest.skip(f"Node.js 20.6 or newer is wanted, and this is {said.strip()}")
    return found


def node_in(folder: Path) -> Node:
    """Node.js, in *folder*, where the package is installed."""
    program = node_program()  # says why not, before npm is asked
    installed(PACKAGE)
    modules = folder / "node_modules"
    modules.mkdir()
    for one in (PACKAGE / "node_modules").iterdir():
        (modules / one.name).symlink_to(one)
    (modules / "godot-otel").symlink_to(PACKAGE)
    return Node(program, folder)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Node.js, in a folder of the test's own."""
    return node_in(tmp_path)
