"""``godot-otel level``: what running applications export, changed for a while.

Talks to the queue alone, by the level board; the applications follow within seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable

from godot_otel import override, settings
from godot_otel.cli.instances import (
    GREEN,
    YELLOW,
    colour,
    duration,
    facts,
    state,
    waits_for,
    who,
)
from godot_otel.errors import SettingError
from godot_otel.levels import Instance, LevelBoard, level_name
from godot_otel.override import plain
from godot_otel.queue import Producer
from godot_otel_exporter.endpoint import resolve

WAIT_SECONDS = 6.0


def main(arguments: list[str]) -> int:
    """Set, reset or list levels; return the exit status.

    Raises:
        SettingError: no queue is named, or nobody has the component's name.
        RetryableError: the queue gave no answer.
    """
    options = _parser().parse_args(arguments)
    settings.check()
    url = resolve()
    if url is None:
        raise SettingError("no queue: start one with `godot-otel up`")
    producer = Producer(url)
    try:
        return int(options.run(producer, options))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # piped into head
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 # until the interpreter ends
        return 0
    finally:
        producer.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="godot-otel level",
        description="Change what running applications export, for a while. What they"
        " print stays as it is.",
    )
    commands = parser.add_subparsers(required=True, metavar="set | reset | list")
    change = commands.add_parser(
        "set", allow_abbrev=False, help="set a level until its time is over"
    )
    change.add_argument(
        "target", type=_target, metavar="COMPONENT[/LOGGER]",
        help="a service's name: its root logger; or one logger of it",
    )  # fmt: skip # one argument
    change.add_argument(
        "level", type=_level, help="TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )
    change.add_argument(
        "--ttl", type=_seconds, default=900.0, metavar="TIME",
        help="when it ends by itself: 30s, 15m (default), 2h, at most 7d",
    )  # fmt: skip # one argument
    change.add_argument(
        "--no-wait", action="store_true", help="do not wait until it is applied"
    )
    change.add_argument(
        "--force", action="store_true", help="also where nobody has that name yet"
    )
    change.set_defaults(run=_set)
    reset = commands.add_parser(
        "reset", allow_abbrev=False, help="end a level, or all, before its time"
    )
    which = reset.add_mutually_exclusive_group(required=True)
    which.add_argument("target", nargs="?", type=_target, metavar="COMPONENT[/LOGGER]")
    which.add_argument("--all", action="store_true", help="every level")
    reset.set_defaults(run=_reset)
    show = commands.add_parser(
        "list", allow_abbrev=False, help="show levels that hold, and who runs"
    )
    show.set_defaults(run=_list)
    for command in (change, reset, show):
        command.add_argument("--json", action="store_true", help="one object a line")
    return parser


def _target(text: str) -> str:
    try:
        return override.target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _level(text: str) -> str:
    try:
        return level_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    try:
        return override.seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _set(producer: Producer, options: argparse.Namespace) -> int:
    target, level = options.target, options.level
    running = override.running(producer)
    if not options.force and not any(one.hears(target) for one in running):
        raise SettingError(
            f"{override.unknown(target, running)}; nothing was set (--force sets it for"
            " those that come later)"
        )
    producer.set_level(target, level, options.ttl)
    say = _silent if options.json else _say
    say(f"{target}: {level} for {duration(options.ttl)}")
    about = {"target": target, "level": level, "ttl_seconds": options.ttl}
    late: set[str] = set()
    if not options.no_wait:
        found, late = _wait(producer, options, say)
        _say_kept(target, found, say)
        known = [facts(one) | {"has_applied": one.id not in late} for one in found]
        about |= {"instances": known}
    if options.json:
        print(json.dumps(about))
    return 1 if late else 0


def _wait(
    producer: Producer, options: argparse.Namespace, say: Callable[[str], None]
) -> tuple[list[Instance], set[str]]:
    """Name each instance when it has applied the level, and who has not."""
    target = options.target

    def told(one: Instance) -> None:
        absent = "; it has no such logger yet" if target in one.absent else ""
        say(f"  {colour('applied', GREEN)}  {who(one)}{absent}")

    timeout = min(WAIT_SECONDS, options.ttl)
    found, late = override.wait(producer, target, options.level, timeout, told)
    for one in found:
        if one.id in late:
            heard = f"heard of {duration(one.age_seconds)} ago"
            say(f"  {colour('not yet', YELLOW)}  {who(one)}, {heard}")
    if not found:
        say("  nobody of that name runs yet")
    return found, late


def _reset(producer: Producer, options: argparse.Namespace) -> int:
    ended = producer.reset_level(None if options.all else options.target)
    if options.json:
        print(json.dumps({"ended": ended}))
    elif options.all:
        print(f"{ended} {'level' if ended == 1 else 'levels'} ended")
    elif ended:
        print(f"{options.target}: ended; applications follow within 5 s")
    else:
        holding = producer.levels().levels
        near = override.near(options.target, holding)
        raise SettingError(f"no level is set for {options.target}{near}")
    return 0


def _list(producer: Producer, options: argparse.Namespace) -> int:
    board, instances = producer.levels(), producer.instances()
    if options.json:
        _list_json(board, instances)
        return 0
    for target, (level, left) in sorted(board.levels.items()):
        print(f"{plain(target)}: {level}, {duration(left)} left")
        if not any(one.hears(target) for one in instances):
            print("  nobody of that name runs")
    if not board.levels:
        print("no level is set")
    print()
    for one in instances:
        print(f"{who(one)}  {plain(one.level)}{state(one, board)}")
    if not instances:
        print("no application is running")
    return 0


def _list_json(board: LevelBoard, instances: list[Instance]) -> None:
    for target, (level, left) in sorted(board.levels.items()):
        about = {"target": target, "level": level, "seconds_left": round(left, 1)}
        print(json.dumps({"kind": "level", **about}))
    for one in instances:
        waits = waits_for(one, board)
        print(json.dumps({"kind": "instance", **facts(one), "not_applied": waits}))


def _say_kept(target: str, found: list[Instance], say: Callable[[str], None]) -> None:
    kept: dict[str, str] = {}
    for one in found:
        kept |= one.kept if one.service == target else {}
    if kept:
        text = ", ".join(f"{name} {level}" for name, level in list(kept.items())[:20])
        say(
            f"  loggers with a level of their own keep it: {plain(text)}"
            f" (name one as {plain(target)}/LOGGER)"
        )


def _say(text: str) -> None:
    print(text, flush=True)


def _silent(text: str) -> None:
    """Say nothing: the answer comes as JSON at the end."""
