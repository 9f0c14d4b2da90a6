"""``tail``, as a process: at the store and through a server, over what goes away."""

import asyncio
import contextlib
import json
import os
import signal
import sys

import psycopg
import pytest
from fix_lines import Row

from godot_otel.cli import main


class Tail:
    """A running ``godot-otel tail`` and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout
        return await _read(self.process.stdout)

    async def said(self) -> str:
        assert self.process.stderr
        return await _read(self.process.stderr)


async def _read(stream: asyncio.StreamReader) -> str:
    async with asyncio.timeout(20):
        line = await stream.readline()
    assert line, "it has ended"
    return line.decode().rstrip("\n")


@pytest.fixture
async def tail(tmp_path):
    """Start it: ``await tail("--level", "warn", GODOT_URL=...)``."""
    started: list[asyncio.subprocess.Process] = []

    async def start(*arguments: str, **environ: str) -> Tail:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "godot_otel", "tail", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], **environ}, cwd=tmp_path,
        )  # fmt: skip # one call
        started.append(process)
        return Tail(process)

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def begun(tails: list[Tail], lines) -> None:
    """Write until each has printed something: from there on it misses nothing."""
    first = asyncio.gather(*(one.line() for one in tails))
    while not first.done():
        lines.add(Row("begin", severity=21))
        await asyncio.sleep(0.3)
    lines.add(Row("begun", severity=21))
    for one in tails:
        while "begun" not in await one.line():
            pass


async def test_lines_come_as_they_are_stored_from_store_and_server_alike(
    serve, lines, token, store_dsn, tail
):
    lines.add(Row("before", severity=21))
    shown = await token()
    filters = ["--level", "warn", "--service", "ord*"]
    async with serve() as server:
        port = server.port
        direct = await tail(*filters, GODOT_POSTGRES_READER_DSN=store_dsn)
        through = {"GODOT_URL": server.url, "GODOT_TOKEN": shown}
        remote = await tail(*filters, "--json", **through)
        await begun([direct, remote], lines)
        lines.add(
            Row("no"), Row("\x1b[2Jone\ntwo", severity=17), Row("no", service="x")
        )
        text = await direct.line()
        assert text.endswith("ERROR orders shop.orders one\\ntwo -")
        assert "\x1b" not in text
        row = json.loads(await remote.line())
        assert row["body"] == "\x1b[2Jone\ntwo"
        assert len(row) == 12
        with psycopg.connect(store_dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    assert "nothing answers at GODOT_URL" in await remote.said()
    lines.add(Row("while nobody serves", severity=17))
    assert "while nobody serves" in await direct.line()
    async with serve(port=port):
        assert "while nobody serves" in await remote.line()
        lines.add(Row("after", severity=17))
        for one in (direct, remote):
            assert "after" in await one.line()
        for one in (direct, remote):
            one.process.send_signal(signal.SIGINT)
            async with asyncio.timeout(10):
                assert await one.process.wait() == 130


def test_what_cannot_be_followed_is_a_sentence(
    store_dsn, monkeypatch, capsys, tmp_path
):
    monkeypatch.setenv("GODOT_DATA_DIR", str(tmp_path))
    for arguments, name, value, status, sentence in (
        (["--level", "x"], "GODOT_POSTGRES_READER_DSN", store_dsn, 2, "level: 'x'"),
        (["--where", "k~["], "GODOT_POSTGRES_READER_DSN", store_dsn, 2, "no regular"),
        ([], "GODOT_TOKEN", "", 1, "`godot-otel up`"),
        ([], "GODOT_URL", "http://127.0.0.1:1", 1, "nothing answers at GODOT_URL"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert main(["tail", *arguments]) == status
        said = capsys.readouterr().err
        assert sentence in said
        assert len(said.splitlines()) == 1
