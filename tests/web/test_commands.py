"""``token``, and ``mcp --http`` where others can reach it, as processes."""

import asyncio
import json
import os
import re
import signal
import sys

import pytest

from godot_otel import tokens
from godot_otel.cli import main
from godot_otel.errors import SettingError
from godot_otel.settings import SETTINGS
from godot_otel.web import app as web_app

HOSTS = {"GODOT_ALLOWED_HOSTS": "logs.example.com"}


@pytest.fixture
def command(store_dsn, monkeypatch, capsys):
    """Run a command here; its status, stdout and stderr."""
    monkeypatch.setenv("GODOT_POSTGRES_DSN", store_dsn)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main([*arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_tokens_are_made_listed_and_revoked(command):
    assert command("token", "list")[2] == "there are no tokens\n"
    status, made, said = command(
        "token", "create", "--name", "ci", "--scope", "logs:read,logs:write",
        "--days", "90",
    )  # fmt: skip # one command line
    assert status == 0
    assert re.fullmatch(r"godot_[A-Za-z0-9_-]{43}\n", made)
    assert "ci may logs:read, logs:write; ends in 90 days" in said
    assert made.strip() not in said
    status, listed, _ = command("token", "list")
    assert listed.startswith("ci  live  logs:read,logs:write  expires 20")
    assert listed.endswith("last used never\n")
    _, text, _ = command("token", "list", "--json")
    assert json.loads(text)["state"] == "live"
    assert made.strip() not in listed + text
    assert command("token", "revoke", "ci")[0] == 0
    assert json.loads(command("token", "list", "--json")[1])["state"] == "revoked"
    assert command("token", "create", "--name", "ci")[0] == 0  # the name is free


MISTYPED = [
    ("revoke ab", "no token is called ab, did you mean abc?"),
    ("create --name abc", "a token called abc is there already"),
    ("create --name x/y", "--name: up to 80 letters"),
    ("create --name x --scope logs:raed", "did you mean logs:read?"),
    ("create --name x --scope ,", "--scope: name at least one"),
]


def test_what_is_mistyped_gets_a_sentence(command):
    assert command("token", "create", "--name", "abc")[0] == 0
    for line, sentence in MISTYPED:
        status, out, said = command("token", *line.split())
        assert (status, out) == (2, ""), line
        assert sentence in said
        assert len(said.splitlines()) == 1


async def serve(dsn: str, **environ: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "godot_otel", "mcp", "--http", "--host", "0.0.0.0",
        "--port", "0", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "GODOT_POSTGRES_DSN": dsn, **environ},
    )  # fmt: skip # one call


async def test_an_address_of_others_needs_names_and_a_live_token(
    store_dsn, token, monkeypatch
):
    process = await serve(store_dsn)
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    assert process.returncode == 2
    assert b"set GODOT_ALLOWED_HOSTS" in said
    assert len(said.splitlines()) == 1
    await token("gone")
    await tokens.revoke(store_dsn, "gone")
    with monkeypatch.context() as patch:
        patch.setenv("GODOT_ALLOWED_HOSTS", HOSTS["GODOT_ALLOWED_HOSTS"])
        for host in ("0.0.0.0", "::", "192.0.2.1"):
            with pytest.raises(SettingError, match="no token is live: make one"):
                await web_app.serve(host, 0, reader_dsn=store_dsn)
    good = await token("good")
    process = await serve(store_dsn, **HOSTS)
    assert process.stdout
    url = ""
    async with asyncio.timeout(30):
        while not url.startswith("http://"):
            url = (await process.stdout.readline()).decode()
    port = int(url.rpartition(":")[2].partition("/")[0])

    async def status(path: str, *head: str) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = [f"GET {path} HTTP/1.1", "Connection: close", *head, "", ""]
        writer.write("\r\n".join(lines).encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return int(answer.split()[1])

    name, shown = "Host: logs.example.com", f"Authorization: Bearer {good}"
    assert await status("/healthz", name) == 200
    assert await status("/api/logs", name) == 401
    assert await status("/api/logs", "Host: localhost") == 401
    assert await status("/mcp", name) == 401
    assert await status("/api/logs", name, shown) == 200
    assert await status("/api/logs", "Host: evil.example", shown) == 421
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        said = b"".join(await process.communicate())
    assert process.returncode == 0
    assert good.encode() not in said


@pytest.mark.parametrize("name", ["http://a", "a/b", "a b", "*", "a:x", "a,,b?"])
def test_a_host_name_that_is_none_is_refused(name):
    (setting,) = (one for one in SETTINGS if one.name == "allowed_hosts")
    with pytest.raises(Exception, match="GODOT_ALLOWED_HOSTS: "):
        setting.value({setting.env: name})
