"""``godot-otel mcp config``: what to paste so that an agent's client finds us."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from godot_otel import settings, state
from godot_otel.cli import allow

NAME = "godot-otel"
DEFAULT_URL = "http://127.0.0.1:9060/mcp"
_NOT_PASSED_ON = ("postgres_reader_dsn", "postgres_dsn", "redis_url")


@click.command()
@click.option(
    "--client", type=click.Choice(["claude", "cursor", "vscode", "codex"]),
    required=True, help="Who reads the snippet.",
)  # fmt: skip # an option's name and type share a line
@click.option("--http", is_flag=True, help="Name the running server's URL instead.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path),
    help="Use the stack of this data directory (GODOT_DATA_DIR).",
)  # fmt: skip # an option's name and type share a line
def config(client: str, http: bool, data_dir: Path | None) -> None:
    """Print the snippet that makes a client start this server, or find it over HTTP.

    Paths are absolute: clients start servers from anywhere, with a PATH of their own.
    """
    form, where = _CLIENTS[client]
    outer = click.get_current_context().parent
    assert outer is not None
    asked = outer.params  # `mcp --allow-write config` has it in the snippet
    http, data_dir = http or asked["http"], data_dir or asked["data_dir"]
    flags = allow.arguments(asked)
    server = _over_http(data_dir) if http else _started(data_dir, flags)
    click.echo(form(server))
    click.echo(f"Paste it into {where}.", err=True)
    if not http:
        for name in _set_here():
            click.echo(
                f"{name} is set here and not in the snippet: it may hold a password."
                " Add it to the snippet's env, or use --http.", err=True,
            )  # fmt: skip # two sentences


def _started(data_dir: Path | None, flags: list[str]) -> dict[str, Any]:
    """The command of this installation, on the data directory that is meant here."""
    beside = Path(sys.executable).parent / "godot-otel"
    command = [str(beside)] if beside.exists() else [sys.executable, "-m", "godot_otel"]
    arguments = [*command[1:], "mcp", *flags]
    if data_dir:
        arguments += ["--data-dir", str(data_dir.absolute())]
    server: dict[str, Any] = {"command": command[0], "args": arguments}
    if not data_dir and settings.value("data_dir"):
        server["env"] = {"GODOT_DATA_DIR": str(settings.data_dir().absolute())}
    return server


def _over_http(data_dir: Path | None) -> dict[str, Any]:
    running = state.read(data_dir or settings.data_dir()) or {}
    return {"url": running.get("mcp_url") or DEFAULT_URL}


def _set_here() -> list[str]:
    named = {one.name: one.env for one in settings.SETTINGS}
    return [named[name] for name in _NOT_PASSED_ON if named[name] in os.environ]


def _json(key: str, *, typed: bool) -> Callable[[dict[str, Any]], str]:
    def form(server: dict[str, Any]) -> str:
        kind = {"type": "http" if "url" in server else "stdio"} if typed else {}
        return json.dumps(
            {key: {NAME: {**kind, **server}}}, indent=2, ensure_ascii=False
        )

    return form


def _toml(server: dict[str, Any]) -> str:
    lines = [f"[mcp_servers.{NAME}]"]
    for key, value in server.items():
        lines += [f"{key} = {_toml_value(value)}"]
    return "\n".join(lines)


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{name} = {_toml_value(one)}" for name, one in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value, ensure_ascii=False)  # strings and lists are TOML's too


_CLIENTS: dict[str, tuple[Callable[[dict[str, Any]], str], str]] = {
    "claude": (_json("mcpServers", typed=True), ".mcp.json of the project"),
    "cursor": (_json("mcpServers", typed=False), ".cursor/mcp.json of the project"),
    "vscode": (_json("servers", typed=True), ".vscode/mcp.json of the project"),
    "codex": (_toml, "~/.codex/config.toml"),
}
