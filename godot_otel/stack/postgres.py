"""The embedded store: Postgres on a private Unix socket, never on TCP."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import psycopg
from psycopg import sql

from godot_otel.errors import GodotError, SettingError
from godot_otel.stack import unprivileged
from godot_otel.stack.cluster import ENVIRON, OWNER, Cluster
from godot_otel.stack.keys import Keys
from godot_otel.stack.part import Part

DATABASE = "godot"
ORPHANS_TIMEOUT = 15.0

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": "5432",  # part of the socket's name; nothing listens there
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
    # Else a row that is refused is quoted there, and the notes on indexes, of which a
    # busy store makes hundreds, have the whole statement with them.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}


class Postgres(Part):
    """A Postgres whose files are reached through *directory*.

    Without a *password* for its owner, one is made up and kept in the directory.
    *settings* are added to SETTINGS.
    """

    start_timeout: ClassVar[float] = (
        300.0  # a crash leaves up to max_wal_size to replay
    )
    stop_signal: ClassVar[int] = signal.SIGINT  # the fast shutdown
    kill_signal: ClassVar[int] = (
        signal.SIGQUIT
    )  # at once; SIGKILL would orphan sessions

    def __init__(
        self,
        directory: Path,
        *,
        password: str | None = None,
        log: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("Postgres", log or directory.absolute() / "postgres.log")
        self.cluster = Cluster(directory)
        self._password = password
        self._settings = {**SETTINGS, **(settings or {})}

    @property
    def socket_folder(self) -> Path:
        """The folder of the socket, closed to everybody else."""
        return self.cluster.socket_folder

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

    def start(
        self,
        timeout: float | None = None,
        *,
        launched: Callable[[], None] = lambda: None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Start the server, making its data the first time; return when it answers.

        Raises:
            SettingError: the data is another major's, or a folder is not ours.
            GodotError: it ended or did not answer; the message holds its last words.
        """
        self._outlive_orphans(timeout, launched, wait)
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            query = "SELECT FROM pg_database WHERE datname = %s"
            if connection.execute(query, [DATABASE]).fetchone() is None:
                name = sql.Identifier(DATABASE)
                connection.execute(sql.SQL("CREATE DATABASE {}").format(name))

    def _outlive_orphans(
        self,
        timeout: float | None,
        launched: Callable[[], None],
        wait: Callable[[float], None],
    ) -> None:
        """Start; try again while sessions of a killed server have not ended yet."""
        deadline = time.monotonic() + ORPHANS_TIMEOUT
        while True:
            try:
                return super().start(timeout, launched=launched, wait=wait)
            except GodotError as error:
                orphans = "shared memory block" in str(error)
                if not orphans or time.monotonic() > deadline:
                    raise
            wait(0.5)

    def launch(self) -> None:
        """Start the process without waiting for it; make its data the first time."""
        durable = self._settings.get("fsync") != "off"
        self.cluster.prepare(self._owner_password(), self.log, durable=durable)
        self.cluster.drop_stale_locks()
        folder = self.socket_folder
        unprivileged.own_folder(folder, 0o700, self.cluster.account)
        settings = self._settings | {"unix_socket_directories": str(folder)}
        arguments = self.cluster.write_settings(settings)
        program, data = self.cluster.programs / "postgres", str(self.cluster.data)
        self._spawn([program, "-D", data, *arguments], ENVIRON, self.cluster.account)

    def answers(self) -> bool:
        """Whether the owner can connect."""
        if not self.alive():
            return False
        try:
            psycopg.connect(self.dsn("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            # The text, as libpq gives no code for a refused connection.
            if "password authentication failed" in str(error):
                self.stop()
                raise SettingError(
                    f"the Postgres of {self.cluster.directory} does not take the"
                    " remembered password: restore the file that held it."
                ) from None
            return False  # not listening yet, or still recovering
        return True

    def create_login(
        self, role: str, password: str, defaults: Mapping[str, str] | None = None
    ) -> None:
        """Let *role* log in with *password*; create it when it is not there.

        *defaults* are the settings its sessions in the database begin with.
        """
        with psycopg.connect(self.owner_dsn, autocommit=True) as connection:
            # Hashed here, so that the password is never part of a statement.
            verifier = connection.pgconn.encrypt_password(
                password.encode(), role.encode(), b"scram-sha-256"
            ).decode()
            query = "SELECT FROM pg_roles WHERE rolname = %s"
            known = connection.execute(query, [role]).fetchone()
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                    sql.SQL("CREATE" if known is None else "ALTER"),
                    sql.Identifier(role),
                    sql.Literal(verifier),
                )
            )
            for name, text in (defaults or {}).items():
                connection.execute(
                    sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}").format(
                        sql.Identifier(role),
                        sql.Identifier(DATABASE),
                        sql.Identifier(name),
                        sql.Literal(text),
                    )
                )

    def wipe(self) -> None:
        """Delete the stopped server with its data, wherever the files lie."""
        self.cluster.wipe()
        shutil.rmtree(self.socket_folder, ignore_errors=True)
        shutil.rmtree(self.cluster.directory, ignore_errors=True)

    def _owner_password(self) -> str:
        if self._password is None:
            directory = self.cluster.directory
            unprivileged.new_folder(directory)
            self._password = Keys(directory / "keys.json").password("owner")
        return self._password
