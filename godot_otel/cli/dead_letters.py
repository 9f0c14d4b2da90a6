"""``godot-otel dead-letters``: records that could not be stored, and their way back.

Rows and results go to stdout, what is said about them to stderr.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from godot_otel import store
from godot_otel.cli import letter_text, owner
from godot_otel.cli.progress import Progress
from godot_otel.cli.serve import servers
from godot_otel.errors import GodotError, SettingError
from godot_otel.query.filters import FilterError, moment
from godot_otel.query.sanitize import line as plain
from godot_otel.queue import Producer
from godot_otel_collector import dead_letters as letters
from godot_otel_collector.dead_letters import Chosen, Reason, Replayed
from godot_otel_collector.letter import Letter

_T = TypeVar("_T", bound=Callable[..., Any])
_A = TypeVar("_A")
_JSON_RECORDS = 1000

_data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Use the stack of this data directory (GODOT_DATA_DIR).",
)
_reason = click.option(
    "--reason", default="", help="Those whose reason contains this text."
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def _named(function: _T) -> _T:
    return click.argument("names", nargs=-1, metavar="[ID[/ORDINAL]]...")(function)


@click.group()
def dead_letters() -> None:
    """Show, resend or delete the records that could not be stored.

    A collector sets a record aside when it cannot be decoded or Postgres refuses it.
    """


@dead_letters.command("list")
@_reason
@click.option("--service", default="", help="Those of this service.")
@click.option("--since", default="", help="-15m, -2h, -7d, or ISO 8601 with its zone.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1))
@_json
@_data_dir
def _list(
    reason: str, service: str, since: str, limit: int, as_json: bool,
    data_dir: Path | None,
) -> None:  # fmt: skip # six options
    """Show what was set aside, newest first, and how many have which reason."""
    chosen = Chosen(reason=reason, since=_moment("since", since))

    async def ask(
        connection: store.Connection,
    ) -> tuple[list[Letter], list[Reason]]:
        if service:
            return await _of_service(connection, chosen, service, limit)
        counts = await letters.reasons(connection, chosen)
        found = []
        async for one in letters.letters(connection, chosen):
            found.append(one)
            if len(found) == limit:
                break
        return found, counts

    found, counts = _owner(data_dir, ask)
    if as_json:
        for one in found:
            print(json.dumps(one.as_json()))
    else:
        letter_text.table(found)
    total = _total(counts)
    if not total:
        _say("there are no dead letters" + (" like that" if reason or service else ""))
    _say_reasons(counts)
    if total > len(found):
        _say(f"the newest {len(found):,} of {total:,} are shown (--limit)")


async def _of_service(
    connection: store.Connection, chosen: Chosen, service: str, limit: int
) -> tuple[list[Letter], list[Reason]]:
    """Decode all letters: their service is nowhere but inside of them."""
    found: list[Letter] = []
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    with Progress() as progress:
        read = 0
        async for one in letters.letters(connection, chosen):
            read += 1
            progress.show(f"read {read:,} dead letters")
            if one.service != service:
                continue
            counts[one.reason] += 1
            sizes[one.reason] += len(one.payload)
            if len(found) < limit:
                found.append(one)
    return found, [Reason(why, n, sizes[why]) for why, n in counts.most_common()]


@dead_letters.command()
@click.argument("name", metavar="ID[/ORDINAL]")
@click.option("--raw", is_flag=True, help="Its bytes alone, for a file or a pipe.")
@_json
@_data_dir
def show(name: str, raw: bool, as_json: bool, data_dir: Path | None) -> None:
    """Show one: why, when, and its record as far as it decodes.

    ID alone shows all of a batch. Exit status 1: there is none of that name.
    """
    if raw and sys.stdout.isatty():
        raise SettingError(
            "--raw prints bytes as they are: send them to a file, > FILE"
        )

    async def ask(connection: store.Connection) -> list[Letter]:
        chosen = Chosen(ids=_ids([name]))
        return [one async for one in letters.letters(connection, chosen)]

    found = _owner(data_dir, ask)
    if not found:
        raise GodotError(f"there is no dead letter {plain(name)}")
    if raw:
        if len(found) > 1:
            raise SettingError(
                f"{name} has {len(found)} dead letters: name one, as {found[0].name}"
            )
        sys.stdout.buffer.write(found[0].payload)
        return
    for one in found:
        if as_json:
            whole = one.as_whole_json(_JSON_RECORDS)
            print(json.dumps(whole))
        else:
            letter_text.whole(one)


@dead_letters.command()
@_named
@_reason
@_data_dir
def replay(names: tuple[str, ...], reason: str, data_dir: Path | None) -> int:
    """Send them to the queue again; without a name or reason, all.

    Each is removed once the queue holds it, and is stored once, however often this is
    interrupted and repeated. What is refused again comes back with its new reason.
    Exit status 1: some are left.
    """
    chosen = Chosen(ids=_ids(names), reason=reason)
    producer = Producer(servers(data_dir)["redis"])

    async def send(connection: store.Connection) -> tuple[int, Replayed]:
        total = _total(await letters.reasons(connection, chosen))
        with Progress() as progress:
            return total, await letters.replay(
                connection, producer, chosen,
                lambda done: progress.show(f"sent {done.sent:,} of {total:,}"),
            )  # fmt: skip # one call

    try:
        total, done = _owner(data_dir, send)
    finally:
        producer.close()
    if not total:
        _say("no dead letter is chosen")
        return 0
    print(f"sent {letter_text.counted(done.sent)} to the queue", flush=True)
    if done.unfit:
        _say(
            f"{letter_text.counted(done.unfit)} cannot be sent: no batch is in there"
            " (`show --raw` gives the bytes)"
        )
    if done.why:
        left = letter_text.counted(max(0, total - done.sent - done.unfit))
        _say(f"{left} not sent yet: {done.why}")
    return 1 if done.why or done.unfit else 0


@dead_letters.command()
@_named
@_reason
@click.option("--older-than", default="", metavar="AGE", help="Such as 7d or 12h.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_data_dir
def purge(
    names: tuple[str, ...], reason: str, older_than: str, yes: bool,
    data_dir: Path | None,
) -> int:  # fmt: skip # five arguments
    """Delete them for ever; without a name, reason or age, all. Asks first."""
    before = _moment("older-than", older_than)
    chosen = Chosen(ids=_ids(names), reason=reason, before=before)

    async def find(
        connection: store.Connection,
    ) -> tuple[list[letters.Key], list[Reason]]:
        counts = await letters.reasons(connection, chosen)
        return [key async for key in letters.keys(connection, chosen)], counts

    which, counts = _owner(data_dir, find)
    if not which:
        _say("no dead letter is chosen")
        return 0
    _say_reasons(counts)
    if not yes:
        _ask(f"{letter_text.counted(len(which))}, {_size(counts)}")

    async def delete(connection: store.Connection) -> int:
        with Progress() as progress:
            return await letters.purge(
                connection, which,
                lambda gone: progress.show(f"deleted {gone:,} of {len(which):,}"),
            )  # fmt: skip # one call

    print(f"deleted {letter_text.counted(_owner(data_dir, delete))}")
    return 0


def _owner(
    data_dir: Path | None, ask: Callable[[store.Connection], Awaitable[_A]]
) -> _A:
    async def run() -> _A:
        async with await store.connect(owner.owner_dsn(data_dir)) as connection:
            await store.check_schema(connection)
            return await ask(connection)

    return owner.run(run())


def _ids(names: tuple[str, ...] | list[str]) -> list[tuple[uuid.UUID, int | None]]:
    return [_id(name) for name in names]


def _id(name: str) -> tuple[uuid.UUID, int | None]:
    text, slash, ordinal = name.partition("/")
    try:
        if slash and not re.fullmatch(r"-1|[0-9]{1,9}", ordinal):
            raise ValueError
        return uuid.UUID(text), int(ordinal) if slash else None
    except ValueError:
        raise FilterError(
            f"{name!r} names no dead letter: write ID/ORDINAL as `godot-otel"
            " dead-letters list` prints it, or ID for all of its batch"
        ) from None


def _moment(name: str, text: str) -> datetime | None:
    return moment(name, text, datetime.now(UTC)) if text else None


def _say_reasons(counts: list[Reason]) -> None:
    for one in counts:
        _say(f"{letter_text.counted(one.letters)}: {plain(one.reason)}")


def _total(counts: list[Reason]) -> int:
    return sum(one.letters for one in counts)


def _size(counts: list[Reason]) -> str:
    return letter_text.size(sum(one.bytes for one in counts))


def _ask(what: str) -> None:
    if not sys.stdin.isatty():
        raise SettingError(f"that is {what}. To delete it for ever, add --yes.")
    _say(f"That is {what}.")
    print("Delete that for ever? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise GodotError("nothing was deleted")


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
