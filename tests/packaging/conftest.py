"""One wheel of the checkout, and clean environments made of it."""

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Environment:
    """A virtual environment, used from a directory where nothing can be imported."""

    folder: Path
    elsewhere: Path

    def run(
        self, program: str, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        programs = self.folder / "bin"
        return subprocess.run(
            [programs / program, *arguments],
            cwd=self.elsewhere,
            env={
                "PATH": f"{programs}:{os.defpath}",
                "HOME": str(self.elsewhere),
                "GODOT_DATA_DIR": str(self.elsewhere / "data"),
                **variables,
            },
            capture_output=True,
            text=True,
            timeout=120,
        )

    def distributions(self) -> set[str]:
        listed = self.run("python", "-m", "pip", "list", "--format=freeze").stdout
        return {line.partition("==")[0].lower() for line in listed.splitlines()}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel that ``pip install .`` builds."""
    folder = tmp_path_factory.mktemp("wheel")
    _pip(
        sys.executable, "wheel", "--no-deps", "--wheel-dir", str(folder), str(CHECKOUT)
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def install(wheel, tmp_path_factory):
    def install(extras: str = "", *others: str) -> Environment:
        folder = tmp_path_factory.mktemp("venv")
        venv.create(folder, with_pip=True)
        _pip(str(folder / "bin" / "python"), "install", f"{wheel}{extras}", *others)
        return Environment(folder, tmp_path_factory.mktemp("elsewhere"))

    return install


def _pip(python: str, command: str, *arguments: str) -> None:
    done = subprocess.run(
        [python, "-m", "pip", command, "-q", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
