"""The files of the embedded Postgres: where they lie, how they are made and deleted.

As root, Postgres runs as an unprivileged account; where that account cannot reach the
directory, all but a link lies outside of it (see ``unprivileged`` and ``binaries``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from godot_otel.errors import GodotError, SettingError
from godot_otel.stack import binaries, processes, unprivileged

MAJOR = "18"
OWNER = "godot"
ENVIRON: Mapping[str, str] = {"LC_ALL": "C", "PATH": os.defpath}
_OURS = (
    "data",
    "data.partial-*",
    "initial-password",
    "binaries-*",
    "postgresql.conf",
    "pg_hba.conf",
)


class Cluster:
    """The files of one Postgres, reached through *directory*."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.account = unprivileged.account()

    @property
    def place(self) -> Path:
        """Where data, settings and copied programs are: the directory, or outside."""
        link = self.directory / "outside"
        return link.resolve() if link.is_symlink() else self.directory

    @property
    def data(self) -> Path:
        """The data directory, in Postgres's sense."""
        return self.place / "data"

    @property
    def programs(self) -> Path:
        """The folder of ``postgres`` and ``initdb``."""
        return binaries.folder(self.account, self.place)

    @property
    def socket_folder(self) -> Path:
        """A short folder for the socket, the same at each start."""
        name = f"godot-otel-pg-{unprivileged.short_hash(self.directory.resolve())}"
        return unprivileged.short_folder(name, self.account)

    def check(self) -> None:
        """Raise SettingError when the data is another major's; touch nothing."""
        try:
            major = (self.data / "PG_VERSION").read_text("utf-8").strip()
        except FileNotFoundError:
            return
        if major != MAJOR:
            raise SettingError(
                f"{self.data} belongs to Postgres {major} and this is Postgres {MAJOR}:"
                " with the release that made it write a `godot-otel backup FILE`, and"
                " restore that into another directory."
            )

    def prepare(self, password: str, log: Path, *, durable: bool) -> None:
        """Make the data directory when there is none yet."""
        self.check()
        if self.data.exists():
            return
        unprivileged.new_folder(self.directory)
        if self.account and not unprivileged.reaches(self.account, self.directory):
            place = unprivileged.place_outside(self.account, self.directory)
            unprivileged.own_folder(place, 0o711)
            link = self.directory / "outside"
            link.unlink(missing_ok=True)
            link.symlink_to(place)
        self._initialize(password, log, durable=durable)

    def _initialize(self, password: str, log: Path, *, durable: bool) -> None:
        """Run initdb, whole or not at all: a killed one leaves ruins.

        The password goes through a file that only the account reads.
        """
        for ruin in self.place.glob("data.partial-*"):
            shutil.rmtree(ruin, ignore_errors=True)  # its initdb may still be running
        partial = self.place / f"data.partial-{os.getpid()}"
        unprivileged.own_folder(partial, 0o700, self.account)
        secret = self.place / "initial-password"
        secret.unlink(missing_ok=True)
        descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(password)
            if self.account:
                os.fchown(file.fileno(), self.account.pw_uid, self.account.pw_gid)
        try:
            self._initdb(partial, secret, log, durable=durable)
        finally:
            secret.unlink()
        partial.replace(self.data)

    def _initdb(self, data: Path, secret: Path, log: Path, *, durable: bool) -> None:
        process = processes.spawn(
            [
                self.programs / "initdb",
                "-D", data,
                "--username", OWNER,
                "--pwfile", secret,
                "--auth", "scram-sha-256",
                "--encoding", "UTF8",
                "--locale-provider", "builtin",
                "--builtin-locale", "C.UTF-8",
                "--locale", "C",
                "--data-checksums",
                "--no-instructions",
                *([] if durable else ["--no-sync"]),
            ],
            log=log,
            environ=ENVIRON,
            account=self.account,
        )  # fmt: skip # an option and its value share a line
        if process.wait() != 0:
            said = processes.last_words(log)
            raise GodotError(f"Postgres could not make its data: {said} ({log})")

    def drop_stale_locks(self) -> None:
        """Remove the locks of a server that is gone.

        Postgres takes any process of that pid for its own, also a zombie that no init
        reaps, or a stranger after a reboot. Against sessions that outlived their server
        it has another guard, which stays: the shared memory block they hold.
        """
        for lock in (
            self.data / "postmaster.pid",
            *self.socket_folder.glob(".s.PGSQL.*.lock"),
        ):
            if lock.exists() and not self._serves(_first_line(lock)):
                lock.unlink()

    def _serves(self, pid: str) -> bool:
        """Whether the process *pid* runs and is the server of this data."""
        if not pid.isdecimal():
            return False
        living = processes.birth(int(pid)) is not None
        return living and str(self.data) in processes.command(int(pid))

    def write_settings(self, settings: Mapping[str, str]) -> list[str]:
        """Write *settings* and who may connect; return the arguments that name them.

        The files lie beside the data. ALTER SYSTEM still wins over them; and root must
        not write into a folder where the account could place a link.
        """
        lines = [f"include = {_quoted(str(self.data / 'postgresql.conf'))}"]
        lines += [f"{name} = {_quoted(text)}" for name, text in settings.items()]
        config = self._write("postgresql.conf", lines)
        access = self._write("pg_hba.conf", ["local all all scram-sha-256"])
        return ["-c", f"config_file={config}", "-c", f"hba_file={access}"]

    def _write(self, name: str, lines: list[str]) -> Path:
        path = self.place / name
        path.write_text("\n".join(lines) + "\n", "utf-8")
        path.chmod(0o644)
        return path

    def wipe(self) -> None:
        """Delete what this module made, wherever it lies, and nothing else."""
        place = self.place
        for pattern in _OURS:
            for path in place.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if place != self.directory:
            (self.directory / "outside").unlink()
            with suppress(OSError):  # somebody else's files are in it
                place.rmdir()


def _first_line(path: Path) -> str:
    return path.read_text("utf-8", "replace").partition("\n")[0].strip()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
