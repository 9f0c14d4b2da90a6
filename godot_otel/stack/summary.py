"""What `up` prints once everything works: addresses, lines to paste, what is kept."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from godot_otel import settings, state
from godot_otel.stack.addresses import bare_postgres, bare_redis
from godot_otel.stack.cluster import Cluster


def lines(directory: Path, facts: dict[str, Any]) -> Iterator[str]:
    """Yield the lines for the state *facts* of *directory*; none holds a password."""
    yield ""
    yield "Everything works:"
    yield f"  queue     {bare_redis(facts['redis_url'])}"
    yield f"  store     {bare_postgres(facts['postgres_dsn'])}"
    yield f"  MCP       {facts['mcp_url']}"
    yield f"  OTLP      {facts['otlp_url']}"
    yield f"  (users and passwords: {directory / state.FILE})"
    yield ""
    yield "Run your application:"
    yield f"  {_environment(directory)}godot-otel run -- flask run"
    yield "Or let any OpenTelemetry SDK send its logs and spans here:"
    yield f"  {_exporter_variables(facts['otlp_url'])}"
    yield "Let an AI agent ask, by this entry in its MCP client:"
    entry = {"mcpServers": {"godot-otel": {"type": "http", "url": facts["mcp_url"]}}}
    yield f"  {json.dumps(entry)}"
    yield f"Kept in {_places(directory, facts)}; nothing is deleted yet"
    yield f"Stop: {_environment(directory)}godot-otel down, or Ctrl-C where `up` runs"


def _environment(directory: Path) -> str:
    if directory == settings.default_data_dir().absolute():
        return ""
    return f"GODOT_DATA_DIR={shlex.quote(str(directory))} "


def _exporter_variables(url: str) -> str:
    line = (
        f"OTEL_EXPORTER_OTLP_ENDPOINT={url} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
    )
    if settings.value("otlp_token"):
        header = "authorization=Bearer%20$GODOT_OTLP_TOKEN"
        line += f' OTEL_EXPORTER_OTLP_HEADERS="{header}"'
    return line


def _places(directory: Path, facts: dict[str, Any]) -> str:
    if facts["pids"]["postgres"] is None:
        return bare_postgres(facts["postgres_dsn"])
    place = Cluster(directory / "postgres").place
    if place.is_relative_to(directory.resolve()) or place.is_relative_to(directory):
        return str(directory)
    return f"{place} (the account Postgres runs as cannot reach {directory})"
