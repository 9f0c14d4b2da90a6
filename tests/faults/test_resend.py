"""A server that lost its last seconds gets them again, and nothing is stored twice."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_oracle import RIGHT, text
from fix_pipeline import Pipeline, ended
from fix_processes import wait_until

from godot_otel.stack import ports
from godot_otel.stack.valkey import Valkey


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    """One as others run it: it fsyncs once a second."""
    server = Valkey(
        tmp_path / "valkey", port=ports.free(), settings={"appendfsync": "everysec"}
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture
def pipeline(tmp_path: Path, server: Valkey, store_dsn: str) -> Iterator[Pipeline]:
    pipeline = Pipeline(tmp_path, server.url, store_dsn)
    yield pipeline
    pipeline.close()


def die_and_forget(server: Valkey, kept: Path) -> None:
    """Kill the server; what it wrote since *kept* was copied never reached the disk."""
    assert server.process is not None
    os.kill(server.pid or 0, signal.SIGKILL)
    server.process.wait()
    shutil.rmtree(server.directory)
    shutil.copytree(kept, server.directory)


def test_what_a_server_forgot_is_stored_and_what_it_kept_is_stored_once(
    server, pipeline, tmp_path
):
    application = pipeline.application(80, pause=0.04)
    accepted = lambda: pipeline.oracle.records("accepted")  # noqa: E731 # asked often
    wait_until(lambda: len(accepted()) > 100, "some records")
    kept = shutil.copytree(server.directory, tmp_path / "kept")
    before = accepted()
    wait_until(lambda: len(accepted()) > len(before) + 100, "some more")
    die_and_forget(server, kept)
    forgotten = max(accepted(), key=lambda record: int(record.split(".")[1]))
    on_disk = b"".join(path.read_bytes() for path in kept.rglob("*.aof"))
    assert text(min(before)).encode() in on_disk
    assert text(forgotten).encode() not in on_disk
    server.start()
    ended(application, 0)
    pipeline.finish()
    assert pipeline.oracle.verdict(pipeline.dsn) == RIGHT
    assert "stored already" in pipeline.log.read_text()
