"""The backup's file: a zip with one member a table, and a manifest.

The members are what COPY (FORMAT BINARY) gives. The manifest comes last: a file that
was cut short has none, and a checksum guards each member.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from godot_otel.errors import GodotError, SettingError

FORMAT = 1
_MANIFEST = "manifest.json"
_LEVEL = 1  # of compression: three times as fast as the default, and 10 % larger


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the archive; *parent* and *bounds* are those of a partition."""

    name: str
    columns: list[str]
    parent: str | None = None
    bounds: str | None = None
    rows: int = 0
    """Of packs, the lines in them."""

    @property
    def member(self) -> str:
        """Its file in the archive."""
        return f"tables/{self.name}.copy"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds."""

    program: str
    postgres: str
    taken_at: str
    migrations: dict[str, str]
    """Number and checksum of each migration that was applied."""
    tables: list[Table] = field(default_factory=list)
    format: int = FORMAT

    def rows(self, *names: str) -> int:
        """How many rows tables of these names have, partitions included."""
        found = (t for t in self.tables if names and (t.parent or t.name) in names)
        return sum(table.rows for table in found)


@contextmanager
def written(path: Path) -> Iterator[zipfile.ZipFile]:
    """Make the archive *path*: whole or not at all, readable by its owner alone.

    Raises:
        SettingError: there is such a file already, or it cannot be written.
    """
    _refuse(path)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(
                file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL
            ) as archive:
                yield archive
            file.flush()
            os.fsync(file.fileno())
        _refuse(path)
        partial.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Let a new name in *folder* outlive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse(path: Path) -> None:
    if path.exists():
        raise SettingError(f"{path} exists: a backup replaces no file")


def member(archive: zipfile.ZipFile, table: Table) -> IO[bytes]:
    """Open the member of *table* for writing; it may become of any size."""
    return archive.open(table.member, "w", force_zip64=True)


def finish(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    """Write what makes the archive one."""
    archive.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=1))


@contextmanager
def opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """Open an archive for reading.

    Raises:
        SettingError: it is none, was cut short, or is of a newer release.
        GodotError: a member is damaged; found while it is read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive, _manifest(path, archive)
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error.strerror}") from None
    except zipfile.BadZipFile as error:
        raise GodotError(
            f"{path} is no whole backup, but cut short or damaged: {error}"
        ) from None


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    try:
        facts: dict[str, Any] = json.loads(archive.read(_MANIFEST))
    except (KeyError, ValueError):
        raise SettingError(f"{path} is no backup of godot-otel") from None
    if facts.get("format") != FORMAT:
        raise SettingError(
            f"{path} was made by godot-otel {facts.get('program')}, in a format this"
            " program does not know: upgrade godot-otel."
        )
    tables = [Table(**table) for table in facts.pop("tables")]
    return Manifest(**facts, tables=tables)
