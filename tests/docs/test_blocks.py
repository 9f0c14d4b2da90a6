"""What the README and the documentation tell people to type works as written.

All pages run on one stack, which the README's first block starts, in a network of their
own where that can be had: their ports are those that everybody uses.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import fix_blocks
import pytest

pytestmark = pytest.mark.slow
CHECKOUT = Path(__file__).parents[2]
PORTS = (6390, 9060, 4318, 5000, 5050, 8081, 9464, 9465)
PAGES = {
    "README": CHECKOUT / "README.md",  # first: it starts the stack
    **{page.stem: page for page in sorted((CHECKOUT / "docs").glob("*.md"))},
    "prometheus": CHECKOUT / "examples/prometheus/README.md",
}
FOUND = {name: fix_blocks.steps(page.read_text()) for name, page in PAGES.items()}
STEPS = {name: steps for name, steps in FOUND.items() if steps}
NOT_RUN = {  # why, and a word that such a block has
    "Docker": "docker",
    "systemd": "systemctl",
    "npm": "npm",
    "it listens on every address": "--host 0.0.0.0",
    "it changes what is kept": "GODOT_RETENTION_DAYS",
    "into another database": "--restore",
    "it asks": "clear",
    "with servers of yours": "old-host",
    "a server of yours": "OTEL_PROPAGATORS",
}


def network() -> list[str]:
    """What gives a command ports of its own; nothing where all of ours are free."""
    if shutil.which("curl") is None or not Path("/proc/net/tcp").exists():
        pytest.skip("the pages are followed on Linux, with curl")
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if (
        shutil.which("unshare")
        and not subprocess.run([*alone, "true"], capture_output=True).returncode
    ):
        return alone
    for port in PORTS:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port} is taken, and no network can be made here")
    return []


def end_all(folder: Path) -> None:
    """End what the pages left running: whatever works in a folder of theirs."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder):
                os.kill(int(process.name), signal.SIGKILL)


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Iterator[None]:
    """Run all pages; their steps know what became of them."""
    folder = tmp_path_factory.mktemp("pages")
    home = folder / "home"
    (home / ".codex").mkdir(parents=True)  # as whoever uses that client has it
    for name in STEPS:
        work = folder / name / "work"
        work.mkdir(parents=True)
        for part in ("examples", "deploy"):
            shutil.copytree(CHECKOUT / part, work / part)
        (work / "deploy/users.acl").unlink(missing_ok=True)
    program = folder / "run.sh"
    program.write_text(fix_blocks.script(STEPS, folder))
    environ = {
        "HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "celery,fastapi",  # tests need them
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip # a new user's
    try:
        with (folder / "log").open("wb") as log:
            subprocess.run(
                [*network(), "bash", program], env=environ, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, timeout=240, check=True,
            )  # fmt: skip # what, and how
        fix_blocks.outcomes(STEPS, folder)
        yield
    finally:
        subprocess.run(["godot-otel", "down", "--wipe", "--yes"], env=environ)
        end_all(folder)


@pytest.mark.parametrize("page", STEPS)
def test_what_a_page_tells_to_type_works_and_prints_what_it_says(ran, page):
    for step in STEPS[page]:
        assert step.status == 0, f"{step.command}\n{step.printed}"
        assert step.missing() is None, f"{step.command}\n{step.printed}"


@pytest.mark.parametrize("page", PAGES)
def test_a_block_that_is_not_run_says_why_and_is_what_it_says(page):
    for why, body in fix_blocks.blocks(PAGES[page].read_text()):
        if why is not None:
            assert NOT_RUN[why] in body


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_installs_exists(page):
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    text = PAGES[page].read_text()
    for named in re.findall(r"(?:godot-otel|\.)\[([a-z,]+)\]", text):
        assert set(named.split(",")) <= set(extras["optional-dependencies"])
