"""Does what `docker build` does with collector/Dockerfile, in a folder of its own.

    python tests/deployment/image.py FOLDER

copies what .dockerignore lets in, and runs the first stage's RUN there, as a user
without rights where we are root; `pytest tests/deployment --programs FOLDER/opt/bin`
then runs the parts on what came of it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from godot_otel.stack import unprivileged

CHECKOUT = Path(__file__).parents[2]


def context(target: Path) -> None:
    """COPY . /src"""
    lines = (CHECKOUT / ".dockerignore").read_text().split()
    left_out = shutil.ignore_patterns("__pycache__", "node_modules")
    for name in (line[1:] for line in lines if line.startswith("!")):
        source, copy = CHECKOUT / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=left_out)
        else:
            shutil.copy(source, copy)


def runner() -> tuple[Any, str]:
    """Who builds, and with which `python`: without rights wherever that can be."""
    account = unprivileged.account()
    able = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"
    for found in (sys._base_executable, "/usr/bin/python3"):
        here = account and Path(found).exists()
        if (
            here
            and unprivileged.reaches(account, Path(found).resolve())
            and subprocess.run([found, "-c", able]).returncode == 0
        ):
            return account, found
    if account:
        print("no Python here is open to a user without rights: building as root")
    return None, sys._base_executable


def main(folder: Path) -> None:
    """Build, and say where the programs are."""
    account, python = runner()
    folder.mkdir(mode=0o755, parents=True)
    context(folder / "src")
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to(python)
    for path in (folder, *folder.rglob("*")):
        if account and not path.is_symlink():
            os.chown(path, account.pw_uid, account.pw_gid)
    text = (CHECKOUT / "collector/Dockerfile").read_text().replace("\\\n", " ")
    (run,) = re.findall(r"^RUN (.*)", text, re.MULTILINE)
    run = run.replace("/opt/godot-otel", f"{folder}/opt").replace(
        "/src", f"{folder}/src"
    )
    who = {"user": account.pw_uid, "group": account.pw_gid} if account else {}
    environ = {"PATH": f"{folder}/bin:{os.defpath}", "HOME": str(folder)}
    environ |= {n: v for n, v in os.environ.items() if n.startswith(("PIP_", "SSL_"))}
    subprocess.run(["sh", "-ec", run], cwd=folder, env=environ, check=True, **who)
    print(folder / "opt/bin")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
