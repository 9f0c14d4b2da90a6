"""The parts on their own: ``migrate``, ``collect``, ``receive`` and ``mcp``."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from godot_otel import settings, state, store
from godot_otel.cli import allow, mcp_config
from godot_otel.errors import SettingError
from godot_otel.stack import workers as several


class _JsonLines(logging.Formatter):
    """Our own log lines: one JSON object each, on stdout, never through ourselves."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "logger": record.name,
            "action": getattr(record, "action", None),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_to_stdout() -> None:
    """Send the log lines of this process to stdout as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines())
    # force: OpenTelemetry may have put a handler on the root logger already.
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    if tap := sys.modules.get("godot_otel_exporter.tap"):  # started by `godot-otel run`
        tap.stop()
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # it repeats itself


def servers(data_dir: Path | None) -> dict[str, Any]:
    """Find queue and store: the settings first, then the running stack's state.

    Raises:
        SettingError: one of them is in neither.
    """
    directory = data_dir or settings.data_dir()
    running = state.read(directory) or {}
    dsns: Mapping[str, str | None] = settings.postgres_dsns() or {
        role: running.get(f"postgres_{role}_dsn".replace("_owner", ""))
        for role in ("owner", "writer", "reader")
    }
    found = {"redis": queue_url(data_dir), **dsns}
    if not found["owner"]:
        raise _missing("GODOT_POSTGRES_DSN", directory)
    return found


def queue_url(data_dir: Path | None) -> str:
    """Find the queue alone, like ``servers``."""
    directory = data_dir or settings.data_dir()
    running = state.read(directory) or {}
    url = settings.value("redis_url") or running.get("redis_url")
    if not url:
        raise _missing("GODOT_REDIS_URL", directory)
    return str(url)


def _missing(env: str, directory: Path) -> SettingError:
    return SettingError(
        f"{env} is not set and no stack runs in {directory}: set it, or start one with"
        " `godot-otel up`."
    )


_data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Use the stack of this data directory (GODOT_DATA_DIR).",
)


@click.command()
@click.option(
    "--dry-run", is_flag=True, help="Name what would be applied; change nothing."
)
@click.option("--print-roles", is_flag=True, help="Print the SQL that makes the roles.")
@click.option("--at-most", type=int, hidden=True)  # bytes, by `up` for its own store
@_data_dir
def migrate(
    dry_run: bool, print_roles: bool, at_most: int | None, data_dir: Path | None
) -> None:
    """Create or upgrade the store's schema, as its owner."""
    owner = settings.value("postgres_dsn") or servers(data_dir)["owner"]
    if print_roles:
        click.echo(asyncio.run(store.roles_text(owner)))
        return
    applied = asyncio.run(
        store.migrate(
            owner,
            dry_run=dry_run,
            retention_days=settings.value("retention_days"),
            retention_bytes=settings.value("retention_bytes"),
            default_bytes=at_most,
            partition=settings.value("partition"),
        )
    )
    verb = "would apply" if dry_run else "applied"
    for name in applied:
        click.echo(f"{verb} {name}")
    if not applied:
        click.echo("the schema is up to date")


@click.command()
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True,
    help="How many collectors; a parent restarts those that die.",
)  # fmt: skip # an option's name and type share a line
@_data_dir
def collect(workers: int, data_dir: Path | None) -> None:
    """Drain the queue into the store until SIGTERM; run as many as you like."""
    from godot_otel_collector.collector import Collector

    log_to_stdout()
    found = servers(data_dir)
    if workers > 1:
        several.run(workers, ["--data-dir", str(data_dir)] if data_dir else [])
        return
    if found["writer"] == found["owner"]:
        logging.getLogger(__name__).warning(
            "collecting as the owner of the store: GODOT_POSTGRES_WRITER_DSN names a"
            " role that may only add", extra={"action": "settings"},
        )  # fmt: skip # one sentence

    async def run() -> None:
        collector = Collector(
            found["redis"],
            owner_dsn=found["owner"],
            writer_dsn=found["writer"],
            max_bytes=settings.value("queue_max_bytes"),
            max_records=settings.value("queue_max_records"),
            legacy_list=settings.value("legacy_list"),
            redact_keys=settings.value("redact_keys"),
            http_port=settings.value("http_port"),
            http_host=settings.value("http_host"),
            allowed_hosts=settings.value("allowed_hosts"),
        )
        loop = asyncio.get_running_loop()
        several.stop_without_parent(loop, collector.stop)
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, collector.stop)
        await collector.run()

    asyncio.run(run())


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="An address.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=4318, show_default=True,
    help="0: any free one; a log line says which.",
)  # fmt: skip # an option's name and type share a line
@_data_dir
def receive(host: str, port: int, data_dir: Path | None) -> None:
    """Take OTLP over HTTP into the queue until SIGTERM; run as many as you like.

    For every OpenTelemetry SDK: POST /v1/logs, protobuf or JSON, gzip or not; at most
    16 MiB and 100,000 records a request, 64 requests at once. Where others can reach
    --host, GODOT_OTLP_TOKEN must be set, and TLS is a proxy's to add.
    """
    from godot_otel.redact import Redactor
    from godot_otel_collector.receiver import server

    log_to_stdout()
    asyncio.run(
        server.serve(
            queue_url(data_dir),
            host=host,
            port=port,
            token=settings.value("otlp_token"),
            redactor=Redactor(settings.value("redact_keys")),
        )
    )


@click.group(invoke_without_command=True)
@click.option("--http", is_flag=True, help="Serve HTTP instead of stdio.")
@click.option("--host", default="127.0.0.1", show_default=True, help="With --http.")
@click.option("--port", default=9060, show_default=True, help="With --http; 0: any.")
@allow.flags
@_data_dir
@click.pass_context
def mcp(
    ctx: click.Context,
    /,
    http: bool,
    host: str,
    port: int,
    data_dir: Path | None,
    **allowed: bool,
) -> None:
    """Serve the store to AI agents by the Model Context Protocol.

    It reads, and no more without one of the --allow flags. Over HTTP a caller needs a
    token with the scope as well.
    """
    if ctx.invoked_subcommand is not None:
        return
    from godot_otel.mcp import server
    from godot_otel.web import app

    if http:
        log_to_stdout()
        asyncio.run(
            app.serve(host, port, data_dir=data_dir, scopes=allow.scopes(allowed))
        )
    else:
        asyncio.run(server.stdio(data_dir=data_dir, scopes=allow.scopes(allowed)))


mcp.add_command(mcp_config.config)
