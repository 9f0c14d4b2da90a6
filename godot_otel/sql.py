"""Finds the ``.sql`` files: inside the wheel, or in a checkout's ``sql/``."""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path


def _folder(name: str) -> Traversable | Path:
    packaged = resources.files("godot_otel") / "_sql" / name
    if packaged.is_dir():
        return packaged
    return Path(__file__).parent.parent / "sql" / name


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of ``sql/migrations``."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """What tells a file that was edited after it had been applied."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration, in the order they are applied."""
    files = [f for f in _folder("migrations").iterdir() if f.name.endswith(".sql")]
    return tuple(
        Migration(int(file.name[:4]), file.name.removesuffix(".sql"), file.read_text())
        for file in sorted(files, key=lambda file: file.name)
    )


@cache
def tables() -> list[str]:
    """The tables that migrations make: ours, whatever else a database holds."""
    texts = (migration.text for migration in migrations())
    found = (re.findall(r"^CREATE TABLE (\w+)", text, re.MULTILINE) for text in texts)
    return sorted(itertools.chain.from_iterable(found))


@cache
def query(name: str) -> str:
    """The text of ``sql/queries/<name>.sql``."""
    return (_folder("queries") / f"{name}.sql").read_text()
