"""A store that fails over to its synchronous standby loses and doubles nothing."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from fix_oracle import RIGHT
from fix_pipeline import Pipeline, ended
from fix_processes import wait_until

from godot_otel import store
from godot_otel.stack import processes, unprivileged
from godot_otel.stack.cluster import ENVIRON
from godot_otel.stack.postgres import Postgres

PASSWORD = "of both servers"  # of this test
SETTINGS = {
    "fsync": "off",
    "max_connections": "20",
    "shared_buffers": "32MB",
    "wal_level": "replica",
    "hot_standby": "on",
}


@pytest.fixture
def primary(request, server_folder) -> Iterator[Postgres]:
    if request.config.getoption("--postgres") == "15":
        pytest.skip("kills a server of its own, which is the embedded one")
    server = Postgres(server_folder / "first", password=PASSWORD, settings=SETTINGS)
    server.start()
    access = server.cluster.place / "pg_hba.conf"
    access.write_text(access.read_text() + "local replication all scram-sha-256\n")
    execute(server, "SELECT pg_reload_conf()")
    yield server
    server.stop()
    server.wipe()


@pytest.fixture
def standby(primary, server_folder) -> Iterator[Postgres]:
    """A copy of the primary that each of its commits waits for."""
    server = Postgres(server_folder / "second", password=PASSWORD, settings=SETTINGS)
    unprivileged.own_folder(server.cluster.directory, 0o711)
    unprivileged.own_folder(server.cluster.data, 0o700, server.cluster.account)
    copying = processes.spawn(
        [
            server.cluster.programs / "pg_basebackup",
            "-D", server.cluster.data, "-R", "-X", "stream", "--checkpoint=fast",
            "-d", f"host={primary.socket_folder} user=godot password='{PASSWORD}'",
        ],
        log=server.log, environ=ENVIRON, account=server.cluster.account,
    )  # fmt: skip # an option and its value share a line
    assert copying.wait(60) == 0, processes.last_words(server.log)
    server.start()
    execute(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
    execute(primary, "SELECT pg_reload_conf()")
    wait_until(
        lambda: (
            execute(primary, "SELECT sync_state FROM pg_stat_replication")
            == [("sync",)]
        ),
        "commits that wait for the standby",
    )
    yield server
    server.stop()
    server.wipe()


def execute(server: Postgres, statement: str) -> list[tuple]:
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def both(*servers: Postgres) -> str:
    """How clients find whichever of them takes rows."""
    hosts = ",".join(quote(str(one.socket_folder), safe="") for one in servers)
    return (
        f"postgresql://godot:{quote(PASSWORD)}@/godot?host={hosts}"
        "&target_session_attrs=read-write"
    )


async def test_a_killed_primary_costs_nothing_that_its_standby_has(
    primary, standby, redis_url, tmp_path: Path
):
    dsn = both(primary, standby)
    await store.migrate(dsn)
    with closing(Pipeline(tmp_path, redis_url, dsn, dead_seconds=5)) as pipeline:
        collector = pipeline.collector()
        application = pipeline.application(150, pause=0.02)

        def stored(server: Postgres) -> int:
            with psycopg.connect(server.dsn()) as connection:
                return connection.execute("SELECT count(*) FROM logs").fetchone()[0]

        wait_until(lambda: stored(primary) > 200, "rows at the primary")
        primary.process.kill()
        primary.process.wait()
        before = stored(standby)
        assert before > 0
        wait_until(
            lambda: "store_away" in pipeline.log.read_text(), "a store that is away", 30
        )
        assert execute(standby, "SELECT pg_promote()") == [(True,)]
        ended(application, 0)
        if pipeline.waiting():
            ended(pipeline.replay(), 0)
        wait_until(lambda: pipeline.depth() == 0, "the queue to drain", 60)
        assert collector.is_alive()
        assert pipeline.oracle.verdict(standby.dsn()) == RIGHT
        assert stored(standby) == 1500 > before
        collector.terminate()
        ended(collector, 0)
