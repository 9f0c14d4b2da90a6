"""The spool: whether it can be written to, has room, and what waits in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from godot_otel import settings
from godot_otel.doctor.check import Check, ok, problem, warning
from godot_otel_exporter.spool import QUARANTINE, Spool, SpoolError
from godot_otel_exporter.spool.folder import SpoolFolder, explained

ABOUT = "spool"
_CHOOSE = "set OTEL_EXPORTER_GODOT_SPOOL_DIR to a folder of this user"


def checks() -> Iterator[Check]:
    """Check the folder where batches wait while the queue is away."""
    folder = settings.spool_dir()
    limit = settings.value("spool_max_bytes")
    if not limit:
        yield warning(
            ABOUT,
            "off: while the queue is away, records are lost but for stderr",
            "unset OTEL_EXPORTER_GODOT_SPOOL_MAX_BYTES",
        )
    try:
        with explained(folder):
            exists = folder.exists()
            _write(folder) if exists else _makeable(folder)
        does = "can be written to" if exists else "is not there yet and can be made"
        yield ok(ABOUT, f"{folder} {does}")
    except SpoolError as error:
        yield problem(ABOUT, str(error), f"mend that, or {_CHOOSE}")
        return
    free = shutil.disk_usage(_nearest(folder)).free
    if free < limit:
        yield warning(
            ABOUT,
            f"its disk has {free // settings.MIB:,} MiB left, and it may hold"
            f" {limit // settings.MIB:,}",
            f"make room, {_CHOOSE}, or lower OTEL_EXPORTER_GODOT_SPOOL_MAX_BYTES",
        )
    yield from _waiting(Spool(folder, max_bytes=limit))


def _write(folder: Path) -> None:
    files = SpoolFolder(folder)
    files.refuse_strange()
    with files.partial(b"") as probe:
        files.remove(probe.name)


def _makeable(folder: Path) -> None:
    above = _nearest(folder)
    if not above.is_dir():
        raise SpoolError(f"the spool {folder} cannot be made: {above} is no folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise SpoolError(
            f"the spool {folder} cannot be made: {above} cannot be written to"
        )


def _nearest(folder: Path) -> Path:
    """Return what exists of *folder* and the folders above it."""
    return next(each for each in (folder, *folder.parents) if os.path.lexists(each))


def _waiting(spool: Spool) -> Iterator[Check]:
    try:
        waiting, set_aside = spool.batches(), spool.set_aside()
    except SpoolError as error:
        yield problem(ABOUT, str(error), _CHOOSE)
        return
    if waiting:
        age = (datetime.now(UTC) - waiting[0].time).total_seconds()
        yield warning(
            ABOUT,
            f"{sum(one.records for one in waiting):,} records in {len(waiting):,}"
            f" batches wait, the oldest for {max(0, age):,.0f} s",
            "any application sends them once the queue is there; `godot-otel spool"
            " replay` sends them now",
        )
    else:
        yield ok(ABOUT, "nothing waits")
    if set_aside:
        yield warning(
            ABOUT,
            f"{set_aside:,} unreadable files in {spool.folder / QUARANTINE}",
            "delete them when they are of no use: nothing else does",
        )
