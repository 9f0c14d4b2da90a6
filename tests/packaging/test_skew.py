"""Versions meet: the first release's parts beside today's; no record is lost."""

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from fix_otlp import entry
from fix_otlp_spans import entry as spans
from fix_otlp_spans import span
from fix_processes import CollectorProcess, count, wait_until

from godot_otel import queue

pytestmark = pytest.mark.slow
CHECKOUT = Path(__file__).parents[2]
OLD = "460cbb0"  # the first whole pipeline


@pytest.fixture(scope="module")
def old_python(tmp_path_factory) -> Path:
    """The Python of an environment with the old wheel, on today's libraries."""
    folder = tmp_path_factory.mktemp("old")
    source = folder / "source.zip"
    packed = _run("git", "-C", CHECKOUT, "archive", "-o", source, OLD)
    if packed.returncode:
        pytest.skip(f"commit {OLD} is not in this checkout's history")
    zipfile.ZipFile(source).extractall(folder / "source")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    installed = _run(
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python,
        "install", "-q", "--no-deps", folder / "source",
    )  # fmt: skip # one command
    assert installed.returncode == 0, installed.stderr
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    ours = next(p for p in sys.path if p.endswith("site-packages"))
    (packages / "today.pth").write_text(ours)  # after the old wheel's own
    where = _run(python, "-c", "import godot_otel; print(godot_otel.__file__)")
    assert str(packages) in where.stdout, where.stderr
    return python


def _run(*command: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], env=os.environ | environ, cwd="/",
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip # one process


@pytest.fixture
def collector(tmp_path, redis_url, store_dsn) -> Iterator:
    made: list[CollectorProcess] = []

    def start(python: Path | str = sys.executable) -> CollectorProcess:
        made.append(CollectorProcess(tmp_path, redis_url, store_dsn, python=python))
        return made[-1]

    yield start
    for one in made:
        assert one.stop() == 0


def oldest_reader(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT oldest_reader FROM settings").fetchone()[0]


def waiting(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return client.xlen(queue.stream_key())


def test_an_old_collector_works_on_a_newer_schema_or_says_that_it_may_not(
    old_python, collector, producer, redis_url, store_dsn
):
    with psycopg.connect(store_dsn) as connection:  # one that is newer than today's
        connection.execute("ALTER TABLE logs ADD COLUMN later text")
        connection.execute("INSERT INTO schema_migrations VALUES (9999, 'later', 'x')")
    producer.admit(entry(["by whichever collector"]))
    producer.admit(spans([span("for a newer collector")]))
    if oldest_reader(store_dsn) <= 1:
        old = collector(old_python)
        wait_until(lambda: count(store_dsn) == 1, "a row by the old collector")
        assert old.stop() == 0
        assert waiting(redis_url) == 1, "spans, which it does not know"
        assert "by whichever" in search(sys.executable, "whichever", store_dsn)
    else:
        assert_refuses(old_python, redis_url, store_dsn)
        assert waiting(redis_url) == 2
    producer.admit(entry(["by today's"]))
    collector()
    wait_until(lambda: count(store_dsn) == 2, "a row by today's collector")
    wait_until(lambda: waiting(redis_url) == 0, "an empty queue")
    assert count(store_dsn, "spans") == 1


def test_an_old_collector_leaves_a_schema_that_is_too_new_and_no_record_is_lost(
    old_python, collector, producer, redis_url, store_dsn
):
    producer.admit(entry(["waits for a newer collector"]))
    with psycopg.connect(store_dsn) as connection:
        connection.execute("UPDATE settings SET oldest_reader = 2")
        connection.execute(
            "INSERT INTO schema_migrations VALUES (2, 'x', 'x') ON CONFLICT DO NOTHING"
        )
    assert_refuses(old_python, redis_url, store_dsn)
    assert count(store_dsn) == 0
    assert waiting(redis_url) == 1
    with psycopg.connect(store_dsn) as connection:
        connection.execute("UPDATE settings SET oldest_reader = 1")
        connection.execute("DELETE FROM schema_migrations WHERE checksum = 'x'")
    collector()
    wait_until(lambda: count(store_dsn) == 1, "the row")


def assert_refuses(python: Path, redis_url: str, dsn: str) -> None:
    done = _run(
        python, "-m", "godot_otel", "collect",
        GODOT_REDIS_URL=redis_url, GODOT_POSTGRES_DSN=dsn,
    )  # fmt: skip # one command
    assert done.returncode == 2, done.stderr
    assert "is newer than this program allows (1): upgrade godot-otel." in done.stderr
    assert len(done.stderr.splitlines()) == 1


PROGRAM = """
import logging
from godot_otel_exporter import configure
configure(service_name="old")
for number in range(100):
    logging.getLogger("old").warning("line %d", number)
"""


def test_an_old_application_sends_to_todays_collector(
    old_python, collector, redis_url, store_dsn, tmp_path
):
    sent = _run(
        old_python, "-c", PROGRAM,
        OTEL_EXPORTER_GODOT_ENDPOINT=redis_url, GODOT_DATA_DIR=str(tmp_path),
    )  # fmt: skip # one program
    assert sent.returncode == 0, sent.stderr
    collector()
    wait_until(lambda: count(store_dsn) == 100, "the old application's lines")


def test_an_old_reader_reads_what_todays_collector_wrote(
    old_python, collector, producer, store_dsn
):
    if oldest_reader(store_dsn) > 1:
        pytest.skip("the schema does not allow it any more")
    producer.admit(entry(["a line of today"]))
    collector()
    wait_until(lambda: count(store_dsn) == 1, "the row")
    assert "a line of today" in search(old_python, "today", store_dsn)


def search(python: Path | str, word: str, dsn: str) -> str:
    asked = _run(
        python, "-m", "godot_otel", "query", "--search", word,
        GODOT_POSTGRES_READER_DSN=dsn,
    )  # fmt: skip # one command
    assert asked.returncode == 0, asked.stderr
    return asked.stdout
