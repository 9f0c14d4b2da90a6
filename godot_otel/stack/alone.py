"""The embedded Postgres alone, for commands on the store while nothing runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from godot_otel.stack import record
from godot_otel.stack.cluster import Cluster
from godot_otel.stack.directory import DataDirectory
from godot_otel.stack.servers import Servers


@contextmanager
def store_alone(directory: DataDirectory) -> Iterator[str]:
    """Run the directory's Postgres, made if need be; yield how its owner connects.

    Raises:
        RunsAlready: `up` runs on the directory.
        SettingError: the data is another major's, or a folder is not ours.
    """
    Cluster(directory.postgres).check()
    with directory.locked():
        record.end(directory.processes)  # what a killed `up` left behind
        servers = Servers(directory, 0, os.environ)
        postgres = servers.postgres
        assert postgres is not None, "the caller found no GODOT_POSTGRES_DSN"

        def launched() -> None:
            pids = [postgres.pid] if postgres.pid else []
            record.write(directory.processes, {"postgres": pids})

        try:
            postgres.start(launched=launched)
            servers.create_roles()
            yield postgres.owner_dsn
        finally:
            postgres.stop()
            directory.processes.unlink(missing_ok=True)
