import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import psycopg
import pytest

from godot_otel.errors import SettingError
from godot_otel.stack import binaries, unprivileged
from godot_otel.stack.postgres import Postgres

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="what only root does")


def ask(dsn, query):
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchone()[0] if cursor.description else None


def tree(path):
    """Everything under *path* with its size, mode and time of change."""
    return {
        str(p): (p.lstat().st_size, p.lstat().st_mode, p.lstat().st_mtime_ns)
        for p in (path, *path.rglob("*"))
    }


def test_it_keeps_its_data_and_password_from_one_start_to_the_next(postgres):
    postgres.start()
    ask(postgres.owner_dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    dsn = postgres.owner_dsn
    postgres.stop()
    assert not postgres.alive()
    again = Postgres(postgres.cluster.directory, settings={"fsync": "off"})
    again.start()
    try:
        assert again.owner_dsn == dsn
        assert ask(dsn, "SELECT answer FROM kept") == 42
    finally:
        again.stop()


def test_it_has_the_settings_the_store_needs_and_no_tcp(postgres):
    postgres.start()
    for name, value in {
        "listen_addresses": "",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "max_locks_per_transaction": "1024",
        "unix_socket_permissions": "0700",
    }.items():
        assert ask(postgres.owner_dsn, f"SHOW {name}") == value
    assert postgres.socket_folder.stat().st_mode & 0o777 == 0o700
    assert not postgres.cluster.account or postgres.socket_folder.owner() == "nobody"


def test_no_password_is_in_a_process_list_the_log_or_left_in_a_file(postgres):
    postgres.start()
    postgres.create_login("writer", "the-writers-password")
    password = psycopg.conninfo.conninfo_to_dict(postgres.owner_dsn)["password"]
    listed = subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout
    for secret in (password, "the-writers-password"):
        assert secret not in listed
        assert secret not in postgres.log.read_text()
    assert not (postgres.cluster.place / "initial-password").exists()
    dsn = postgres.dsn(user="writer", password="the-writers-password")
    assert ask(dsn, "SELECT current_user") == "writer"
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        ask(postgres.dsn(user="writer", password="another"), "SELECT 1")


def test_what_it_refuses_is_not_quoted_in_the_log(postgres):
    postgres.start()
    with pytest.raises(psycopg.DataError):
        ask(postgres.owner_dsn, """SELECT '{"text": "of a record\\u0000"}'::jsonb""")
    log = postgres.log.read_text()
    assert "unsupported Unicode escape sequence" in log
    assert "of a record" not in log


def test_a_lost_password_is_said_in_a_sentence(postgres):
    postgres.start()
    postgres.stop()
    other = Postgres(postgres.cluster.directory, password="another")
    with pytest.raises(SettingError, match="does not take the remembered password"):
        other.start()
    assert not other.alive()


def test_data_of_another_major_is_refused_and_nothing_touched(postgres):
    data = postgres.cluster.directory / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    before = tree(postgres.cluster.directory)
    with pytest.raises(SettingError, match="belongs to Postgres 16 and this is"):
        Postgres(postgres.cluster.directory, password="x").start()
    assert tree(postgres.cluster.directory) == before


def test_it_starts_again_after_kill_9_while_sessions_were_open(postgres):
    postgres.start()
    with psycopg.connect(postgres.owner_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(postgres.pid, signal.SIGKILL)
        postgres.process.wait()
        postgres.start()
    assert ask(postgres.owner_dsn, "SELECT answer FROM kept") == 42


def test_the_lock_of_a_server_whose_pid_is_now_anothers_does_not_stop_it(postgres):
    postgres.start()
    postgres.stop()
    lock = postgres.cluster.data / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{postgres.cluster.data}\n1700000000\n5432\n")
    postgres.start()
    assert ask(postgres.owner_dsn, "SELECT 1") == 1


def test_a_killed_initdb_leaves_nothing_that_stands_in_the_way(postgres):
    partial = postgres.cluster.directory / "data.partial-1"
    partial.mkdir(parents=True)
    (partial / "PG_VERSION").write_text("18\n")
    postgres.start()
    assert ask(postgres.owner_dsn, "SELECT 1") == 1
    assert not partial.exists()


@as_root
def test_under_a_closed_folder_its_files_lie_outside_and_nothing_is_opened(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    modes = {p: p.stat().st_mode for p in (private, *private.parents)}
    postgres = Postgres(private / "pg", settings={"fsync": "off"})
    postgres.start()
    place = postgres.cluster.place
    try:
        assert ask(postgres.owner_dsn, "SELECT 1") == 1
        assert not place.is_relative_to(tmp_path)
        assert postgres.cluster.data.stat().st_mode & 0o777 == 0o700
        assert {p: p.stat().st_mode for p in modes} == modes
    finally:
        postgres.stop()
        postgres.wipe()
    assert not place.exists()
    assert not (private / "pg").exists()


@as_root
def test_a_closed_virtual_environment_has_its_programs_copied(tmp_path, monkeypatch):
    source = binaries._package()
    closed = tmp_path / "site-packages"
    for name in (source.name, source.name + ".libs"):
        shutil.copytree(source.with_name(name), closed / name)
    closed.chmod(0o700)
    monkeypatch.setattr(binaries, "_package", lambda: closed / source.name)
    postgres = Postgres(tmp_path / "pg", settings={"fsync": "off"})
    postgres.start()
    try:
        programs = postgres.cluster.programs
        assert programs.is_relative_to(postgres.cluster.place)
        assert programs.stat().st_uid == 0
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert ask(postgres.owner_dsn, "SELECT 1") == 1
    finally:
        postgres.stop()
        postgres.wipe()
    assert not programs.exists()


@as_root
def test_a_strangers_folder_at_the_sockets_place_is_refused(postgres):
    folder = postgres.socket_folder
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(SettingError, match="belongs to somebody else"):
        postgres.start()


def test_a_folder_for_sockets_is_short_whatever_the_temp_folder_is(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/tmp/" + "long" * 30)
    assert unprivileged.short_folder("name") == Path("/tmp/name")
