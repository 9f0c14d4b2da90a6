"""The cases that the exporters of every language pass."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from fix_node import node_in
from fix_partitions import collecting, until
from fix_processes import count
from psycopg.rows import dict_row

HERE = Path(__file__).parent / "contract"
EMIT = HERE / "emit.js"


def cases(kind: str) -> list[dict[str, Any]]:
    """The cases of one folder, each with its file's name, sorted by it."""
    files = sorted((HERE / kind).glob("*.json"))
    return [json.loads(file.read_text("utf-8")) | {"name": file.stem} for file in files]


def expanded(value: Any) -> Any:
    """Give what JSON has no form for, or what would be long in it, its own form."""
    if isinstance(value, list):
        return [expanded(item) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$repeat": [text, times]}:
            return text * times
        case {"$list": [item, times]}:
            return [item] * times
        case {"$concat": parts}:
            return "".join(map(expanded, parts))
        case {"$bytes": text}:
            return base64.b64decode(text)
        case {"$nest": depth}:
            inner: Any = value.get("$end", "end")
            for _ in range(depth):
                inner = [inner]
            return inner
    return {name: expanded(item) for name, item in value.items()}


def stored(
    emit: Callable[[str], None], valkey: Any, postgres: Any, template: str,
    statement: str, **wanted: int,
) -> list[dict[str, Any]]:  # fmt: skip # who sends, where it goes, and how much it is
    """Have a collector store what *emit* sends to a queue; ask *statement* of it.

    *wanted* is a table and how many rows it has then.
    """
    ((table, rows),) = wanted.items()
    url = f"{valkey.url.rpartition('/')[0]}/14"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    emit(url)
    name = f"contract_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    dsn = postgres.dsn(name)

    async def collect() -> None:
        async with collecting(url, dsn):
            await until(lambda: count(dsn, table) == rows)

    asyncio.run(collect())
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        return connection.execute(statement).fetchall()


def emit_by_node(
    kind: str, asked: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Have Node.js's exporter send the cases of one folder."""
    node = node_in(tmp_path_factory.mktemp("node"))
    done = node.run(EMIT, kind, stdin=json.dumps(asked | {"cases": cases(kind)}))
    assert (done.returncode, done.stderr) == (0, "")
