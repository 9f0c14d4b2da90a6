"""What compose.yaml and the Dockerfile say, and the processes they describe.

There is no container engine: the same programs run with the same arguments and the
environment of the image alone, in an empty directory, as a user without rights.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from fix_processes import wait_until

from godot_otel.stack import unprivileged

CHECKOUT = Path(__file__).parents[1]
_VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")


def filled(found: Any, variables: Mapping[str, str]) -> Any:
    """Put variables in as compose does, those of the forms that are used here."""
    if isinstance(found, dict):
        return {key: filled(value, variables) for key, value in found.items()}
    if isinstance(found, list):
        return [filled(value, variables) for value in found]
    return _filled(found, variables) if isinstance(found, str) else found


def _filled(text: str, variables: Mapping[str, str]) -> str:

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if variables.get(name):
            return variables[name]
        assert kind == "-", f"{name} is not set: {rest}"
        return rest

    return _VARIABLE.sub(value, text)


def services(folder: Path) -> dict[str, Any]:
    """Read the services of compose.yaml in *folder*, with the passwords of its .env."""
    lines = (folder / ".env").read_text().split()
    variables = dict(line.split("=", 1) for line in lines)
    read = yaml.safe_load((folder / "compose.yaml").read_text())
    return filled(read["services"], variables)


class Image:
    """The last stage of a Dockerfile, whose virtual environment is *programs*."""

    def __init__(self, dockerfile: Path, programs: Path) -> None:
        text = dockerfile.read_text().replace("\\\n", " ")
        lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
        self._first = [rest for word, rest in lines if word == "RUN"]
        said = {word: rest for word, rest in lines if word != "#"}
        self.user = said["USER"]
        self.entrypoint: list[str] = json.loads(said["ENTRYPOINT"])
        self.command: list[str] = json.loads(said["CMD"])
        self.healthcheck: list[str] = json.loads(said["HEALTHCHECK"].split(" CMD ")[1])
        self.environ = dict(pair.split("=", 1) for pair in said["ENV"].split())
        self.environ["PATH"] = f"{programs}:{os.defpath}"


class Part:
    """One service of ours, as its image runs it; its log is *log*."""

    def __init__(
        self, image: Image, service: Mapping[str, Any], log: Path, **changes: str
    ) -> None:
        self._image, self.log = image, log
        self.ports: Mapping[str, str] = {}
        """Those of the file, and what stands in for them here."""
        self._test = service.get("healthcheck", {}).get(
            "test", ["", *image.healthcheck]
        )
        self._folder = log.parent / log.stem
        self._folder.mkdir(mode=0o755)
        self.environ = image.environ | service["environment"] | changes
        self._service = service
        self._account = account(image)
        with log.open("ab") as file:
            self.process = self._start(service["command"], stdout=file, stderr=file)

    def _start(self, command: list[str], **how: Any) -> subprocess.Popen[str]:
        return self._spawn([*self._image.entrypoint, *command], **how)

    def _spawn(self, command: list[str], **how: Any) -> subprocess.Popen[str]:
        if self._account:
            who = {"user": self._account.pw_uid, "group": self._account.pw_gid}
            how |= who | {"extra_groups": []}
        program = next(
            found
            for place in self.environ["PATH"].split(":")
            if (found := Path(place, command[0])).exists()
        )
        return subprocess.Popen(
            [program, *command[1:]],
            cwd=self._folder,
            env=self.environ,
            text=True,
            **how,
        )

    def run(self, *command: str) -> str:
        """What another command of the same service prints; it must succeed."""
        process = self._start(list(command), stdout=subprocess.PIPE)
        printed = process.communicate(timeout=60)[0]
        assert process.returncode == 0, self.log.read_text()
        return printed

    def healthy(self) -> bool:
        """Whether the service's healthcheck is content."""
        command = [
            re.sub(r"\b(9464|9060|4318)\b", lambda m: self.ports.get(m[0], m[0]), word)
            for word in self._test[1:]
        ]
        done = self._spawn(command, stderr=subprocess.DEVNULL)
        return done.wait(30) == 0

    def wait_healthy(self) -> None:
        wait_until(
            lambda: self.healthy() or self.process.poll() is not None, "health", 60
        )
        assert self.process.poll() is None, self.log.read_text()

    def stop(self) -> int:
        """End it as an engine does."""
        self.process.terminate()
        begun = time.monotonic()
        status = self.process.wait(30)
        assert time.monotonic() - begun < 10, "an engine would have killed it"
        return status


def account(image: Image) -> Any:
    """Whom to run as instead of the image's user; None: as ourselves.

    That is so for who is not root, and where Python or the checkout is root's alone.
    """
    account = unprivileged.account()
    programs = Path(image.environ["PATH"].split(":")[0])
    needed = [programs, (programs / "python").resolve()]
    if programs == Path(sys.executable).parent:  # an editable install, as a rule
        needed.append(CHECKOUT)
    if account and all(unprivileged.reaches(account, path) for path in needed):
        return account
    return None
