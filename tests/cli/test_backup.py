"""``godot-otel backup``: one file of one moment, and a store like the first one."""

import asyncio
import os
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from fix_debian import PROGRAMS, DebianPostgres
from fix_lines import Lines, Row, pack
from fix_otlp import entry
from fix_otlp_spans import entry as spans
from fix_otlp_spans import span
from fix_processes import CollectorProcess, count, wait_until
from psycopg.conninfo import make_conninfo

from godot_otel import cli, query, queue, sql, store
from godot_otel.stack.cluster import Cluster
from godot_otel.stack.directory import DataDirectory

TRACE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")


def rows(dsn: str, statement: str, *values: object) -> list[tuple]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def empty_dsn(postgres) -> Iterator[str]:
    """A database without a schema."""
    rows(postgres.dsn("postgres"), "CREATE DATABASE restored")
    yield postgres.dsn("restored")
    rows(postgres.dsn("postgres"), "DROP DATABASE restored WITH (FORCE)")


@pytest.fixture
def backup(monkeypatch, capfd):
    def run(dsn: str, *arguments: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        with monkeypatch.context() as patched:
            patched.setenv("GODOT_POSTGRES_DSN", dsn)
            status = cli.main(["backup", *map(str, arguments)])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def collect(tmp_path, redis_url) -> Iterator:
    made: list[CollectorProcess] = []

    def start(dsn: str) -> CollectorProcess:
        made.append(CollectorProcess(tmp_path, redis_url, dsn))
        return made[-1]

    yield start
    for one in made:
        assert one.stop() == 0


def drained(producer) -> bool:
    return producer._redis.xlen(queue.stream_key()) == 0


def everything(dsn: str) -> dict[str, list[tuple]]:
    """What is in each table, whatever partition it is in."""
    found = {}
    for name in sql.tables():
        if name != "settings":  # xid_base differs by intent
            found[name] = rows(dsn, f'SELECT t::text FROM "{name}" AS t ORDER BY 1')
    return found


def layout(dsn: str) -> list[tuple]:
    """Partitions with their bounds, indexes and how their columns are kept."""
    return rows(
        dsn,
        "SELECT c.relname, c.relkind, pg_get_expr(c.relpartbound, c.oid),"
        " array(SELECT attname || attstorage::text || attnotnull FROM pg_attribute"
        "   WHERE attrelid = c.oid AND attnum > 0 ORDER BY attnum)"
        " FROM pg_class AS c WHERE relnamespace = 'public'::regnamespace"
        " ORDER BY c.relname",
    )


def test_a_backup_under_load_is_restored_with_rows_filters_rollups_and_ledger(
    backup, collect, producer, store_dsn, empty_dsn, tmp_path
):
    collector = collect(store_dsn)
    first = entry(["the first line"])
    producer.admit(first)
    producer.admit(queue.Entry(queue.batch_id(), b"logs", 3, b"garbage"))
    over = threading.Event()

    def load() -> None:
        number = 0
        while not over.wait(0.005):
            number += 1
            bodies = [f"order {number}.{n} paid" for n in range(50)]
            producer.admit(entry(bodies, trace_id=TRACE, attributes={"n": number}))
            producer.admit(spans([span(f"order {n}") for n in range(5)]))

    busy = threading.Thread(target=load)
    busy.start()
    try:
        wait_until(lambda: count(store_dsn) > 1000, "rows")
        file = tmp_path / "store.backup"
        status, out, err = backup(store_dsn, file)
        assert (status, err) == (0, "")
        wait_until(lambda: count(store_dsn) > 2000, "rows after the backup")
    finally:
        over.set()
        busy.join()
    wait_until(lambda: drained(producer), "an empty queue")
    assert collector.stop() == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("store*")] == ["store.backup"]
    assert "dead letters" in out

    status, out, err = backup(empty_dsn, "--restore", file)
    assert (status, err) == (0, "")
    before, after = everything(store_dsn), everything(empty_dsn)
    assert out.startswith(f"restored {len(after['logs']):,} lines and")
    assert 1000 < len(after["logs"]) < len(before["logs"])
    for name, held in after.items():
        if name != "emitters":
            assert set(held) <= set(before[name]), name
    # One moment: every batch of the ledger is there whole, and no other row.
    assert rows(empty_dsn, "SELECT sum(records)::int FROM batches") == [
        (len(after["logs"]) + len(after["spans"]),)
    ]
    for table, counts, filters in (
        ("logs", "log_counts", "word_filters"),
        ("spans", "operation_counts", "span_filters"),
    ):
        held = [(len(after[table]),)]
        assert rows(empty_dsn, f"SELECT sum(n)::int FROM {counts}") == held
        chunks = f"SELECT sum(seq_last - seq_first + 1)::int FROM {filters}"
        assert rows(empty_dsn, chunks) == held  # fmt: skip
    assert len(after["dead_letters"]) == 1

    collect(empty_dsn)
    producer.admit(first)
    producer.admit(entry(["the first after the restore"]))
    wait_until(lambda: count(empty_dsn) > len(after["logs"]), "the new line")
    wait_until(lambda: drained(producer), "an empty queue")
    assert count(empty_dsn) == len(after["logs"]) + 1

    rows(empty_dsn, "TRUNCATE logs, batches, dead_letters")
    status, _, err = backup(empty_dsn, "--restore", file)
    assert status == 2
    assert "a collector is connected: stop every collector first" in err


def test_a_restored_store_is_laid_out_like_the_first_and_found_by_search(
    backup, store_dsn, empty_dsn, tmp_path
):
    lines = Lines(store_dsn)
    for number in range(3):
        moment = datetime.now(UTC) - number * timedelta(hours=1)
        lines.add(
            *(Row(f"order {number}.{n} paid", moment) for n in range(20)),
            Row(f"order {number}", moment, attributes={"plan": f"p{number}"}),
        )
    pack(store_dsn)
    lines.add(Row("order 9, in a row of its own", datetime.now(UTC)))
    status, out, _ = backup(store_dsn, tmp_path / "b")
    assert status == 0
    assert "64 lines" in out
    assert backup(empty_dsn, "--restore", tmp_path / "b")[0] == 0
    assert everything(empty_dsn) == everything(store_dsn)
    assert layout(empty_dsn) == layout(store_dsn)

    async def found() -> int:
        async with query.Reader(empty_dsn) as reader:
            asked = ({"search": '"2.7" paid'}, {"where": ["plan=p2"]})
            filters = [query.parse(since="-1d", **one) for one in asked]
            return sum([len((await query.logs(reader, f)).lines) for f in filters])

    assert asyncio.run(found()) == 2


@pytest.mark.skipif(not PROGRAMS.exists(), reason="Postgres 15 is not installed")
def test_a_file_made_on_one_major_version_of_postgres_is_restored_on_another(
    backup, postgres, server_folder, store_dsn, tmp_path
):
    other = DebianPostgres(server_folder / "other", settings={"fsync": "off"})
    other.start()
    try:
        Lines(store_dsn).add(*(Row(f"line {n}", trace_id="4" * 32) for n in range(50)))
        pack(store_dsn)
        rows(other.dsn(), "CREATE DATABASE older")
        rows(postgres.dsn("postgres"), "CREATE DATABASE newer")
        assert backup(store_dsn, tmp_path / "b")[0] == 0
        assert backup(other.dsn("older"), "--restore", tmp_path / "b")[0] == 0
        assert everything(other.dsn("older")) == everything(store_dsn)
        assert backup(other.dsn("older"), tmp_path / "c")[0] == 0
        newer = postgres.dsn("newer")
        assert backup(newer, "--restore", tmp_path / "c")[0] == 0
        assert everything(newer) == everything(store_dsn)
    finally:
        other.stop()
        other.wipe()
        rows(postgres.dsn("postgres"), "DROP DATABASE IF EXISTS newer WITH (FORCE)")


def test_a_tail_goes_on_above_what_was_restored_and_misses_nothing(
    backup, collect, producer, store_dsn, empty_dsn, tmp_path
):
    # The first store is far ahead of the second one's transaction ids.
    rows(store_dsn, "UPDATE settings SET xid_base = 3000000000")
    Lines(store_dsn).add(*(Row(f"line {n}") for n in range(50)))
    assert backup(store_dsn, tmp_path / "b")[0] == 0
    assert backup(empty_dsn, "--restore", tmp_path / "b")[0] == 0
    ((newest,),) = rows(empty_dsn, "SELECT max(seq) FROM logs")
    assert newest >> 20 > 3_000_000_000

    async def after(seq: int) -> list[str]:
        async with query.Reader(empty_dsn) as reader:
            tail = await query.logs_after(reader, seq)
        return [line.body for line in tail.lines]

    assert len(asyncio.run(after(0))) == 50
    assert asyncio.run(after(newest)) == []
    collect(empty_dsn)
    producer.admit(entry(["after the restore"]))
    wait_until(lambda: count(empty_dsn) == 51, "the new line")
    assert asyncio.run(after(newest)) == ["after the restore"]


def test_tables_of_others_are_neither_copied_nor_touched(
    backup, store_dsn, new_store, tmp_path
):
    found = rows(
        store_dsn,
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"
        " AND NOT relispartition AND relnamespace = 'public'::regnamespace",
    )
    assert {name for (name,) in found} == {*sql.tables(), "schema_migrations"}
    target = new_store()
    for dsn, text in ((store_dsn, "here"), (target, "there")):
        rows(dsn, f"CREATE TABLE theirs AS SELECT '{text}' AS text")
    assert backup(store_dsn, tmp_path / "b")[0] == 0
    with zipfile.ZipFile(tmp_path / "b") as archive:
        assert "theirs" not in str(archive.namelist())
    assert backup(target, "--restore", tmp_path / "b")[0] == 0
    assert rows(target, "SELECT text FROM theirs") == [("there",)]


def test_nothing_is_overwritten(backup, store_dsn, tmp_path):
    file = tmp_path / "b"
    file.write_text("precious")
    status, out, err = backup(store_dsn, file)
    assert (status, out) == (2, "")
    assert err == f"godot-otel: {file} exists: a backup replaces no file\n"
    assert file.read_text() == "precious"
    file.unlink()
    assert backup(store_dsn, file)[0] == 0
    rows(
        store_dsn,
        "INSERT INTO dead_letters VALUES (gen_random_uuid(), 0, 0, 'logs', 'a', '')",
    )
    status, out, err = backup(store_dsn, "--restore", file)
    assert (status, out) == (2, "")
    assert "the store is not empty (dead_letters): nothing was changed" in err
    assert count(store_dsn, "dead_letters") == 1


def test_a_file_that_was_cut_or_changed_is_refused_and_nothing_changed(
    backup, store_dsn, new_store, tmp_path
):
    Lines(store_dsn).add(*(Row(f"line {n}") for n in range(50)))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert backup(store_dsn, whole)[0] == 0
    target = new_store()
    before = everything(target)

    data = whole.read_bytes()
    with zipfile.ZipFile(whole) as archive:
        place = next(
            one for one in archive.infolist() if one.filename.startswith("tables/logs_")
            and one.file_size > 100
        )  # fmt: skip # one search
    middle = place.header_offset + 200
    flipped = data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]
    for content in (data[: len(data) // 2], b"no zip", flipped):
        broken.write_bytes(content)
        status, out, err = backup(target, "--restore", broken)
        assert status in (1, 2)
        assert out == ""
        assert len(err.splitlines()) == 1, err
        assert str(broken) in err
        assert everything(target) == before
    assert backup(target, "--restore", whole)[0] == 0
    assert everything(target)["logs"] == everything(store_dsn)["logs"]


def test_a_backup_of_a_newer_schema_is_refused(backup, store_dsn, empty_dsn, tmp_path):
    rows(store_dsn, "INSERT INTO schema_migrations VALUES (9999, '9999_later', 'x')")
    assert backup(store_dsn, tmp_path / "b")[0] == 0
    status, _, err = backup(empty_dsn, "--restore", tmp_path / "b")
    assert status == 2
    assert "is of a newer schema (9999)" in err
    assert rows(empty_dsn, "SELECT to_regclass('logs')") == [(None,)]


def test_an_older_backup_is_brought_to_the_schema_of_today(
    backup, store_dsn, empty_dsn, tmp_path, monkeypatch
):
    assert backup(store_dsn, tmp_path / "b")[0] == 0
    later = sql.Migration(9999, "9999_later", "CREATE TABLE later (n integer)")
    known = (*sql.migrations(), later)
    monkeypatch.setattr(sql, "migrations", lambda: known)
    assert backup(empty_dsn, "--restore", tmp_path / "b")[0] == 0
    assert rows(empty_dsn, "SELECT count(*) FROM later") == [(0,)]
    asyncio.run(store.migrate(store_dsn))
    status, _, err = backup(store_dsn, "--restore", tmp_path / "b")
    assert status == 2
    assert "restore into a new database without a schema" in err


def test_a_killed_backup_leaves_no_file_of_that_name(store_dsn, tmp_path):
    command = [sys.executable, "-m", "godot_otel", "backup", str(tmp_path / "b")]
    with psycopg.connect(store_dsn) as holder:
        holder.execute("LOCK TABLE templates IN ACCESS EXCLUSIVE MODE")
        running = subprocess.Popen(
            command, env=os.environ | {"GODOT_POSTGRES_DSN": store_dsn}
        )
        wait_until((tmp_path / "b.partial").exists, "a file that grows")
        assert stat.S_IMODE((tmp_path / "b.partial").stat().st_mode) == 0o600
        running.kill()
        running.wait()
    assert not (tmp_path / "b").exists()
    done = subprocess.run(command, env=os.environ | {"GODOT_POSTGRES_DSN": store_dsn})
    assert done.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("more", [(), ("--restore",)])
def test_a_file_that_cannot_be_used_is_one_sentence(backup, store_dsn, tmp_path, more):
    status, out, err = backup(store_dsn, *more, tmp_path / "nowhere" / "b")
    assert (status, out) == (2, "")
    assert err.endswith(": No such file or directory\n")
    assert len(err.splitlines()) == 1


def test_a_disk_that_is_full_leaves_no_file(store_dsn, tmp_path):
    Lines(store_dsn).add(*(Row(f"line {n}") for n in range(50)))
    command = f"ulimit -f 1; exec {sys.executable} -m godot_otel backup {tmp_path}/b"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True,
        env=os.environ | {"GODOT_POSTGRES_DSN": store_dsn},
    )  # fmt: skip # one command
    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        f"godot-otel: {tmp_path}/b cannot be written: File too large\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_who_is_not_the_owner_is_told_so(backup, store_dsn, tmp_path):
    stranger = make_conninfo(store_dsn, user="nobody_backup", password="x")
    rows(store_dsn, "CREATE ROLE nobody_backup LOGIN PASSWORD 'x'")
    try:
        rows(store_dsn, "GRANT SELECT ON settings, schema_migrations TO nobody_backup")
        status, out, err = backup(stranger, tmp_path / "b")
        assert (status, out) == (2, "")
        assert "must name the owner of the store's tables" in err
        assert list(tmp_path.iterdir()) == []
    finally:
        rows(store_dsn, "DROP OWNED BY nobody_backup")
        rows(store_dsn, "DROP ROLE nobody_backup")


def test_the_embedded_store_is_filled_and_copied_while_nothing_runs(
    backup, store_dsn, server_folder, tmp_path, monkeypatch
):
    Lines(store_dsn).add(*(Row(f"line {n}") for n in range(10)))
    assert backup(store_dsn, tmp_path / "b")[0] == 0
    directory = DataDirectory(server_folder / "alone")
    monkeypatch.setenv("GODOT_DATA_DIR", str(directory.path))
    status, _, err = backup("", tmp_path / "c")
    assert status == 2
    assert f"there is no store in {directory.path}" in err
    try:
        status, out, err = backup("", "--restore", tmp_path / "b")
        assert out.startswith("restored 10 lines"), err
        assert backup("", tmp_path / "c")[1].startswith(f"wrote {tmp_path}/c: 10 lines")
        assert not directory.processes.exists()
        with directory.locked():
            status, _, err = backup("", "--restore", tmp_path / "b")
        assert status == 1
        assert "runs already" in err
        (Cluster(directory.postgres).data / "PG_VERSION").write_text("16\n")
        status, _, err = backup("", tmp_path / "d")
        assert status == 2
        assert "belongs to Postgres 16" in err
    finally:
        directory.wipe()
