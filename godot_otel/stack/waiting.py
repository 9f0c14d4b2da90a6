"""What programs left in the spool when they ended while no stack ran."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from godot_otel import settings
from godot_otel.errors import GodotError, RetryableError
from godot_otel.queue import Entry, Producer
from godot_otel.stack.announce import Announce
from godot_otel.stack.directory import DataDirectory

if TYPE_CHECKING:
    from godot_otel_exporter.spool import Spool


def send(
    directory: DataDirectory,
    url: str,
    announce: Announce,
    wait: Callable[[float], None],
) -> None:
    """Send it to the queue at *url*, and say so; nothing is said where nothing waits.

    *wait* may raise to give up: what is not sent by then stays.
    """
    folder: Path = settings.value("spool_dir") or directory.spool
    spool = _spool(folder)
    if spool is None or not spool.waiting():
        return
    announce.working(f"Sending what waits in {folder}")
    sent, why = 0, ""
    producer = Producer(url)

    def admit(entry: Entry) -> bool:
        nonlocal sent, why
        wait(0)
        try:
            producer.admit(entry)
        except RetryableError as error:
            why = str(error)
            return False
        sent += entry.records
        return True

    try:
        spool.replay(admit)
    except GodotError as error:
        announce.trouble(f"{error}.")
    finally:
        producer.close()
    if sent:
        announce.works("Spool", f"sent {counted(sent)} that waited in {folder}")
    if why:
        announce.trouble(
            f"{counted(records(folder))} still in {folder}: {why}; `godot-otel spool"
            " replay` sends what is left, and so does any application."
        )


def records(folder: Path) -> int:
    """Count the records that wait in *folder*; none where it cannot be read."""
    try:
        spool = _spool(folder)
        return sum(one.records for one in spool.batches()) if spool else 0
    except GodotError:
        return 0


def _spool(folder: Path) -> Spool | None:
    if not folder.is_dir():
        return None
    # Here, because it brings OpenTelemetry along, for which every command would wait.
    from godot_otel_exporter.spool import Spool

    return Spool(folder, max_bytes=0)


def counted(number: int) -> str:
    """Write a number of records."""
    return f"{number:,} record{'' if number == 1 else 's'}"
