"""The embedded store: Postgres on a private Unix socket, never on TCP.

As root it runs as an unprivileged account; then what it needs lies where that account
can reach it (see ``unprivileged`` and ``binaries``).
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from godot_otel.errors import GodotError, SettingError
from godot_otel.stack import binaries, processes, unprivileged
from godot_otel.stack.keys import Keys

MAJOR = "18"
OWNER = "godot"
DATABASE = "godot"
START_TIMEOUT = 300.0  # after a crash up to max_wal_size is replayed first
STOP_TIMEOUT = 8.0
SOCKET_PATH_MAX_BYTES = 103  # macOS; Linux takes 107

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": "5432",  # part of the socket's name, nothing listens there
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "max_locks_per_transaction": "1024",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "autovacuum": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


class Postgres:
    """A Postgres whose data lives in *directory*, or in ``place`` where that is closed.

    Without a *password* for its owner, one is made up and kept in the directory.
    *settings* are added to SETTINGS.
    """

    def __init__(
        self,
        directory: Path,
        *,
        password: str | None = None,
        log: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.log = log or self.directory / "postgres.log"
        self._password = password
        self._settings = {**SETTINGS, **(settings or {})}
        self._process: processes.Process | None = None

    @property
    def place(self) -> Path:
        """Where data, settings and copied programs are; ``outside`` links there."""
        if not self.outside:
            return self.directory
        return (self.directory / "outside").resolve()

    @property
    def outside(self) -> bool:
        """Whether the files lie outside of the directory."""
        return (self.directory / "outside").is_symlink()

    @property
    def data(self) -> Path:
        """The data directory in Postgres's sense."""
        return self.place / "data"

    @property
    def socket_folder(self) -> Path:
        """A short folder, the same at each start, closed to everybody else."""
        name = f"godot-otel-pg-{unprivileged.short_hash(self.directory.resolve())}"
        temporary = Path(tempfile.gettempdir())
        socket = temporary / name / f".s.PGSQL.{self._settings['port']}"
        account = unprivileged.account()
        if len(os.fsencode(socket)) <= SOCKET_PATH_MAX_BYTES and (
            account is None or unprivileged.reaches(account, temporary)
        ):
            return temporary / name
        return Path("/tmp") / name  # noqa: S108 # own_folder refuses a stranger's

    @property
    def owner_dsn(self) -> str:
        """How the owner of the database connects."""
        return self.dsn()

    def dsn(
        self,
        database: str = DATABASE,
        user: str = OWNER,
        password: str | None = None,
    ) -> str:
        """Return how *user* connects; the password defaults to the owner's."""
        secret = quote(password or self._owner_password(), safe="")
        host = quote(str(self.socket_folder), safe="")
        return (
            f"postgresql://{quote(user, safe='')}:{secret}@/{quote(database, safe='')}"
            f"?host={host}&port={self._settings['port']}"
        )

    @property
    def pid(self) -> int | None:
        """The postmaster, None when it does not run."""
        return self._process.pid if self._process and self.alive() else None

    def alive(self) -> bool:
        """Whether the postmaster runs."""
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Raise SettingError when the data is another major's; touch nothing."""
        try:
            major = (self.data / "PG_VERSION").read_text("utf-8").strip()
        except FileNotFoundError:
            return
        if major != MAJOR:
            raise SettingError(
                f"{self.data} belongs to Postgres {major} and this is Postgres {MAJOR}:"
                f" move its data with pg_dump of {major}, or use another --data-dir."
            )

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Start the server, making its data the first time; return when it answers.

        Raises:
            SettingError: the data is another major's, or a folder is not ours.
            GodotError: it ended or did not answer; the message holds its last words.
        """
        self.launch()
        deadline = time.monotonic() + timeout
        while not self.answers():
            if not self.alive():
                raise GodotError(f"Postgres ended while starting: {self._last_words()}")
            if time.monotonic() > deadline:
                self.stop()
                raise GodotError(
                    f"Postgres did not answer within {timeout:g} s; see {self.log}."
                )
            time.sleep(0.05)
        self._create_database()

    def launch(self) -> None:
        """Start the process without waiting for it; initialize its data first."""
        self.check()
        account = unprivileged.account()
        self._prepare_place()
        programs = binaries.folder(account, self.place)
        if not self.data.exists():
            self._initialize(programs)
        unprivileged.own_folder(self.socket_folder, 0o700, account)
        self._process = processes.spawn(
            [
                programs / "postgres",
                "-D", self.data,
                "-c", f"config_file={self._write_configuration()}",
                "-c", f"hba_file={self._write_access()}",
            ],
            log=self.log,
            environ=_ENVIRON,
            account=account,
        )  # fmt: skip # an option and its value share a line

    def answers(self) -> bool:
        """Whether the owner can connect."""
        if not self.alive():
            return False
        try:
            psycopg.connect(self.dsn("postgres"), connect_timeout=5).close()
        except psycopg.errors.InvalidPassword:
            raise SettingError(
                f"Postgres in {self.place} does not know the remembered password:"
                " restore the file of passwords, or use another --data-dir."
            ) from None
        except psycopg.OperationalError:  # not listening yet, or still recovering
            return False
        return True

    def create_login(self, role: str, password: str) -> None:
        """Let *role* log in with *password*; create it when it is not there."""
        with psycopg.connect(self.owner_dsn, autocommit=True) as connection:
            # Hashed here, so that the password is never part of a statement.
            verifier = connection.pgconn.encrypt_password(
                password.encode(), role.encode(), b"scram-sha-256"
            ).decode()
            known = connection.execute(
                "SELECT FROM pg_roles WHERE rolname = %s", [role]
            ).fetchone()
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                    sql.SQL("CREATE" if known is None else "ALTER"),
                    sql.Identifier(role),
                    sql.Literal(verifier),
                )
            )

    def stop(self) -> None:
        """Shut down fast: open transactions are rolled back, the rest is on disk."""
        processes.end(self._process, signal.SIGINT, STOP_TIMEOUT)
        self._process = None

    def wipe(self) -> None:
        """Delete the stopped server with its data, wherever the files lie."""
        for folder in (self.socket_folder, self.place, self.directory):
            shutil.rmtree(folder, ignore_errors=True)

    def _owner_password(self) -> str:
        if self._password is None:
            self._password = Keys(self.directory / "keys.json").password("owner")
        return self._password

    def _prepare_place(self) -> None:
        """Make the folders; decide once whether the account can reach the directory."""
        account = unprivileged.account()
        self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        if account is None or self.data.exists():
            return
        if not unprivileged.reaches(account, self.directory):
            place = unprivileged.place_outside(account, self.directory)
            unprivileged.own_folder(place, 0o711)
            link = self.directory / "outside"
            link.unlink(missing_ok=True)
            link.symlink_to(place)

    def _initialize(self, programs: Path) -> None:
        """Make the data, whole or not at all: a killed initdb leaves ruins.

        The password goes through a file that only the account reads.
        """
        account = unprivileged.account()
        partial = self.place / "data.partial"
        if partial.exists():
            shutil.rmtree(partial)
        unprivileged.own_folder(partial, 0o700, account)
        secret = self.place / "initial-password"
        secret.unlink(missing_ok=True)
        descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self._owner_password())
            if account:
                os.fchown(file.fileno(), account.pw_uid, account.pw_gid)
        try:
            self._initdb(programs, partial, secret)
        finally:
            secret.unlink()
        partial.replace(self.data)

    def _initdb(self, programs: Path, data: Path, secret: Path) -> None:
        account = unprivileged.account()
        process = processes.spawn(
            [
                programs / "initdb",
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
                *(["--no-sync"] if self._settings.get("fsync") == "off" else []),
            ],
            log=self.log,
            environ=_ENVIRON,
            account=account,
        )  # fmt: skip # an option and its value share a line
        if process.wait() != 0:
            raise GodotError(f"Postgres's data was not made: {self._last_words()}")

    def _write_configuration(self) -> Path:
        """Write our settings beside the data: ALTER SYSTEM stays the user's, and wins.

        The file is ours, not the account's: root must not write into a folder where
        another user could place a link.
        """
        values = self._settings | {"unix_socket_directories": str(self.socket_folder)}
        lines = [f"include = {_quoted(str(self.data / 'postgresql.conf'))}"]
        lines += [f"{name} = {_quoted(text)}" for name, text in values.items()]
        return self._write("postgresql.conf", lines)

    def _write_access(self) -> Path:
        return self._write("pg_hba.conf", ["local all all scram-sha-256"])

    def _write(self, name: str, lines: list[str]) -> Path:
        path = self.place / name
        path.write_text("\n".join(lines) + "\n", "utf-8")
        path.chmod(0o644)
        return path

    def _create_database(self) -> None:
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            query = "SELECT FROM pg_database WHERE datname = %s"
            if connection.execute(query, [DATABASE]).fetchone() is None:
                name = sql.Identifier(DATABASE)
                connection.execute(sql.SQL("CREATE DATABASE {}").format(name))

    def _last_words(self) -> str:
        return f"{processes.last_line(self.log) or 'it said nothing'} ({self.log})."


_ENVIRON: Mapping[str, str] = {"LC_ALL": "C", "PATH": os.defpath}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
