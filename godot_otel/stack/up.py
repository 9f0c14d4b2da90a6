"""One run of the stack, from the first check to the last process's end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from godot_otel import notify, settings, state
from godot_otel.stack import record, waiting
from godot_otel.stack.announce import Announce
from godot_otel.stack.cluster import Cluster
from godot_otel.stack.directory import DataDirectory
from godot_otel.stack.stack import OURSELVES, Choices, Stack
from godot_otel.stack.stop_request import Stopped, StopRequest
from godot_otel.stack.supervisor import Supervisor


def up(
    directory: DataDirectory,
    choices: Choices,
    announce: Announce,
    *,
    summary: Callable[[dict[str, Any]], None],
    ourselves: Sequence[str] = OURSELVES,
) -> None:
    """Run the stack of *directory* until SIGINT or SIGTERM, then end all of it.

    *summary* is given the state once everything works; *ourselves* is the command of
    our own programs.

    Raises:
        SettingError: a port is taken, or the data is not for this version.
        GodotError: a part did not start, or the stack runs already.
    """
    check(directory)
    with StopRequest() as stop, directory.locked():
        _end_leftovers(directory, announce)
        stack = Stack(directory, choices, announce, ourselves=ourselves)
        stack.record()
        try:
            stack.start(stop.sleep)
            facts = stack.publish()
            waiting.send(directory, facts["redis_url"], announce, stop.sleep)
            summary(facts)
            notify.ready()
            _supervise(stack, announce, stop)
        except Stopped:
            pass
        finally:
            announce.working("Stopping")
            stack.stop()
    announce.working("Stopped")


def check(directory: DataDirectory) -> None:
    """Raise SettingError when the data is not for this version; touch nothing."""
    if settings.value("postgres_dsn") is None:
        Cluster(directory.postgres).check()


def _end_leftovers(directory: DataDirectory, announce: Announce) -> None:
    state.remove(directory.path)
    if left := record.end(directory.processes):
        names = ", ".join(left)
        announce.trouble(
            f"the last `up` was killed; ended what was left of it: {names}"
        )


def _supervise(stack: Stack, announce: Announce, stop: StopRequest) -> None:
    def ready() -> None:
        stack.publish()

    Supervisor(stack.parts, announce, launched=stack.record, ready=ready).run(stop)
