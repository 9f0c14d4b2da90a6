"""Knows from outside which records a pipeline took on, and what it must have stored.

A record's text follows from its id, so that an altered one is seen. Processes that log
keep a journal on disk, which outlives them: what they tried, and what ``force_flush``
said that queue or disk hold.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psycopg
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)

POISON = "poison"
"""How a record begins that the store refuses, once ``poisonous`` has seen to it."""


def text(record: str) -> str:
    """The one text of a record; its id is the first word."""
    digest = hashlib.blake2b(record.encode(), digest_size=32).hexdigest()
    return f"{record} {digest * (1 + int(digest[0], 16) // 4)}"


def poisonous(dsn: str) -> None:
    """Let the store refuse poison, as it would a value that no check foresaw."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            f"ALTER TABLE logs ADD CONSTRAINT {POISON}"
            f" CHECK (body NOT LIKE '{POISON}%')"
        )


class Journal:
    """What one process tried to log, and what was accepted of it."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._descriptor = os.open(path, flags, 0o600)

    def note(self, what: str, records: Iterable[str]) -> None:
        """Write at once: the process may be killed by the next instruction."""
        lines = "".join(f"{what} {record}\n" for record in records)
        os.write(self._descriptor, lines.encode())

    def tried(self, records: Iterable[str]) -> None:
        self.note("tried", records)

    def accepted(self, records: Iterable[str]) -> None:
        self.note("accepted", records)


class Verdict(NamedTuple):
    """What is wrong; all empty, or something was lost, made up, altered or doubled."""

    missing: tuple[str, ...] = ()
    spurious: tuple[str, ...] = ()
    corrupted: tuple[str, ...] = ()
    duplicated: tuple[str, ...] = ()


RIGHT = Verdict()


class Oracle:
    """Compares the journals of a folder with a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def journal(self, name: str) -> Journal:
        return Journal(self.folder / f"{name}.journal")

    def records(self, what: str) -> set[str]:
        return {
            record
            for path in self.folder.glob("*.journal")
            for word, _, record in map(_parted, path.read_text().splitlines())
            if word == what
        }

    def stored(self, dsn: str, record: str) -> bool:
        """Whether one record is in the store, as it was."""
        with psycopg.connect(dsn) as connection:
            query = "SELECT FROM logs WHERE body = %s"
            return connection.execute(query, [text(record)]).rowcount == 1

    def verdict(self, dsn: str) -> Verdict:
        stored, dead = _stored(dsn), _dead(dsn)
        found = Counter(map(_id, stored + dead))
        return Verdict(
            missing=tuple(sorted(self.records("accepted") - found.keys())),
            spurious=tuple(sorted(found.keys() - self.records("tried"))),
            corrupted=tuple(
                line[:80]
                for lines, poison in ((stored, False), (dead, True))
                for line in lines
                if line != text(_id(line)) or line.startswith(POISON) != poison
            ),
            duplicated=tuple(record for record, n in found.items() if n > 1),
        )


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition(" ")


def _id(line: str) -> str:
    return line.partition(" ")[0]


def _stored(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        return [body for (body,) in connection.execute("SELECT body FROM logs")]


def _dead(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        payloads = connection.execute("SELECT payload FROM dead_letters").fetchall()
    return [
        record.body.string_value
        for (payload,) in payloads
        for group in ExportLogsServiceRequest.FromString(payload).resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    ]
