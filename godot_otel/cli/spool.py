"""``godot-otel spool``: what waits on this machine's disk for the queue to come back.

Rows and results go to stdout, what is said about them to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from godot_otel import settings
from godot_otel.errors import GodotError, RetryableError, SettingError
from godot_otel.queue import Entry, Producer
from godot_otel_exporter.endpoint import resolve, without_password
from godot_otel_exporter.spool import QUARANTINE, Spool, Waiting

_PROGRESS_SECONDS = 0.1


def main(arguments: list[str]) -> int:
    """Run one of the spool's commands; return its exit status.

    Raises:
        SettingError: a setting or argument must be changed first.
        SpoolError: the folder cannot be used.
    """
    options = _parser().parse_args(arguments)
    if options.data_dir:
        os.environ["GODOT_DATA_DIR"] = str(_absolute(options.data_dir))
    settings.check()
    folder = _absolute(options.spool_dir) if options.spool_dir else settings.spool_dir()
    spool = Spool(folder, max_bytes=settings.value("spool_max_bytes"))
    try:
        if options.action == "list":
            return _list(spool, as_json=options.json)
        if options.action == "replay":
            return _replay(spool)
        return _purge(spool, sure=options.yes)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:  # piped into head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument(
        "--spool-dir", metavar="DIR",
        help="the folder; default: OTEL_EXPORTER_GODOT_SPOOL_DIR, then `spool` in the"
        " data directory",
    )  # fmt: skip # one option
    common.add_argument(
        "--data-dir", metavar="DIR", help="whose stack to use; default: GODOT_DATA_DIR"
    )
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="godot-otel spool",
        description="Batches of log records that wait on disk, because the queue was"
        " away or full. Applications send them by themselves once it is back.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser(
        "list", parents=[common], help="show what waits, oldest first"
    )
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    actions.add_parser(
        "replay", parents=[common], help="send it to the queue now, oldest first",
        description="Send what waits to the queue now. Exit status 1: some is left.",
    )  # fmt: skip # one command
    purging = actions.add_parser("purge", parents=[common], help="delete it unsent")
    purging.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _absolute(path: str) -> Path:
    return Path(path).expanduser().absolute()


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


# --- list


def _list(spool: Spool, *, as_json: bool) -> int:
    waiting = spool.batches()
    if as_json:
        for one in waiting:
            print(json.dumps(_facts(one)))
    elif waiting:
        _table(waiting)
    if not waiting:
        _say(f"nothing waits in {spool.folder}")
    elif not as_json:
        print(f"{_sum(waiting)} in {spool.folder}", flush=True)
    _say_set_aside(spool)
    return 0


def _facts(one: Waiting) -> dict[str, object]:
    return {
        "id": one.id.hex(),
        "time": one.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "age_seconds": round(_age_seconds(one), 3),
        "records": one.records,
        "bytes": one.bytes,
        "signal": one.signal.decode("ascii", "replace"),
        "service": one.service,
    }


def _table(waiting: list[Waiting]) -> None:
    title = f"{'age':>5}  {'records':>9}  {'size':>10}  service"
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(f"\x1b[2m{title}\x1b[0m" if coloured else title)
    for one in waiting:
        print(
            f"{_age(one):>5}  {one.records:>9,}  {_size(one.bytes):>10}"
            f"  {_plain(one.service) or '-'}"
        )


def _sum(waiting: list[Waiting]) -> str:
    size = _size(sum(one.bytes for one in waiting))
    return f"{_count(waiting)}, {size}"


def _count(waiting: list[Waiting]) -> str:
    return _counted(len(waiting), sum(one.records for one in waiting))


def _counted(batches: int, records: int) -> str:
    many = "batch" if batches == 1 else "batches"
    lines = "record" if records == 1 else "records"
    return f"{batches:,} {many} with {records:,} {lines}"


def _age_seconds(one: Waiting) -> float:
    return max(0.0, (datetime.now(UTC) - one.time).total_seconds())


def _age(one: Waiting) -> str:
    seconds = _age_seconds(one)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds:.0f}s"


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def _plain(text: str) -> str:
    """Text without what could control a terminal: any application may have named it."""
    shown = "".join(each if each.isprintable() else "?" for each in text)
    return shown if len(shown) <= 48 else shown[:47] + "…"


def _say_set_aside(spool: Spool) -> None:
    if count := spool.set_aside():
        files = (
            "file that cannot be read was" if count == 1 else "unreadable files were"
        )
        _say(f"{count} {files} set aside in {spool.folder / QUARANTINE}")


# --- replay


def _replay(spool: Spool) -> int:
    waiting = spool.batches()
    if not spool.waiting():
        _say(f"nothing waits in {spool.folder}")
        return 0
    url = resolve()
    if url is None:
        return _left(spool, "there is no queue: start one with `godot-otel up`")
    sending = _Sending(url, len(waiting))
    try:
        replayed = spool.replay(sending.send)
    finally:
        sending.close()
    if replayed is None:
        return _left(spool, "another process is sending them at this moment")
    print(
        f"sent {_counted(sending.batches, sending.records)} to {without_password(url)}",
        flush=True,
    )
    if spool.damaged_records:
        _say(f"{spool.damaged_records:,} records are lost with files set aside now")
    _say_set_aside(spool)
    return _left(spool, sending.why or "they came meanwhile, or belong to other users")


def _left(spool: Spool, why: str) -> int:
    left = spool.batches()
    if not left:
        return 0
    verb = "remains" if len(left) == 1 else "remain"
    _say(f"{_count(left)} {verb} in {spool.folder}: {why}")
    return 1


class _Sending:
    """Sends to the queue at *url*, and shows on a terminal how far it is."""

    def __init__(self, url: str, expected: int) -> None:
        self.batches = 0
        self.records = 0
        self.why = ""
        self._producer = Producer(url)
        self._expected = expected
        self._terminal = sys.stderr.isatty()
        self._shown = 0.0

    def send(self, entry: Entry) -> bool:
        try:
            self._producer.admit(entry)
        except RetryableError as error:
            self.why = str(error)
        except Exception as error:  # what a client raises for odd options in the URL
            self.why = f"the queue cannot be used: {type(error).__name__}"
        else:
            self.batches += 1
            self.records += entry.records
            self._show()
            return True
        return False

    def _show(self) -> None:
        now = time.monotonic()
        if self._terminal and now - self._shown >= _PROGRESS_SECONDS:
            self._shown = now
            shown = f"\rsent {self.batches:,} of {self._expected:,} batches"
            print(shown, end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        self._producer.close()


# --- purge


def _purge(spool: Spool, *, sure: bool) -> int:
    waiting, set_aside = spool.batches(), spool.set_aside()
    if not spool.waiting() and not set_aside:
        _say(f"nothing waits in {spool.folder}")
        return 0
    lost = f"{_sum(waiting)}, never sent"
    if waiting:
        lost += f", the oldest {_age(waiting[0])} old"
    if set_aside:
        lost += f"; and {set_aside} unreadable in {QUARANTINE}"
    if not sure:
        _ask(f"{spool.folder} holds {lost}.")
    gone = spool.purge()
    print(f"deleted {lost}" if gone == len(waiting) else f"deleted {gone:,} batches")
    return 0


def _ask(what: str) -> None:
    if not sys.stdin.isatty():
        raise SettingError(f"{what} To delete that for ever, add --yes.")
    print(what, file=sys.stderr)
    print("Delete that for ever? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise GodotError("nothing was deleted")
