"""Breaks a pipeline at random for a while; then an oracle says what became of it.

    python tests/faults/soak.py [--minutes 20] [--seed N] [--only KIND ...]

A real Valkey, a real Postgres, two collectors and three applications, with proxies
between them. Faults come by the seed, which is printed first: each kind once, then any.
Then the pipeline must recover within 180 s and drain within 120 s, and every record
that an application was told is safe must be stored exactly once, as it was. A run that
has broken nothing fails as well, unless --only names what may happen, for example
collector_killed. Exit status 0: all of that holds.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg
from fix_breakage import Breakage
from fix_oracle import POISON
from fix_processes import wait_until

from godot_otel.errors import RetryableError

RECOVERY_SECONDS, DRAIN_SECONDS = 180, 120
_PROGRESS_SECONDS = 10.0


class Soak:
    """One run."""

    def __init__(
        self, breakage: Breakage, *, minutes: float, only: Sequence[str] = ()
    ) -> None:
        self.breakage, self.pipeline = breakage, breakage.pipeline
        self.only = only
        self.ends = time.monotonic() + minutes * 60
        self.happened: Counter[str] = Counter()

    def run(self) -> bool:
        """Break things, mend them, and say whether all is right."""
        breakage = self.breakage
        kinds = [
            kind
            for kind in breakage.kinds()
            if not self.only or kind.__name__ in self.only
        ]
        due = breakage.random.sample(kinds, len(kinds))
        told = time.monotonic()
        while due or time.monotonic() < self.ends:
            kind = due.pop() if due else breakage.random.choice(kinds)
            kind()
            self.happened[kind.__name__] += 1
            self.trace()
            breakage.tend()
            breakage.pause(0.1, 0.8)
            if time.monotonic() - told > _PROGRESS_SECONDS:
                told = time.monotonic()
                self.progress(kind.__name__)
        return self.judge()

    def trace(self) -> None:
        """Hand some spans to the queue, with lines beside them, if it takes them."""
        number = self.happened.total()
        poison = [f"{POISON}.{number}"] if number % 7 == 0 else []
        with suppress(RetryableError):
            self.pipeline.admit(*(f"traced.{number}.{n}" for n in range(20)), *poison)

    def progress(self, last: str) -> None:
        accepted = len(self.pipeline.oracle.records("accepted"))
        say(
            f"{max(0.0, self.ends - time.monotonic()):4.0f} s left,"
            f" {self.happened.total()} faults, the last: {last};"
            f" {accepted} records accepted, {self.pipeline.depth()} batches queued,"
            f" {self.pipeline.waiting()} spooled"
        )

    def judge(self) -> bool:
        pipeline = self.pipeline
        for application in self.breakage.applications:
            application.terminate()
            application.join(30)
        ok = check_in_time("recovers", self.recovered, RECOVERY_SECONDS)
        ok &= check_in_time("drains", self.drained, DRAIN_SECONDS)
        verdict = pipeline.oracle.verdict(pipeline.dsn)
        for name, found in verdict._asdict().items():
            ok &= check(not found, f"{name} = {len(found)} {' '.join(found[:5])}")
        pipeline.admit("fresh")
        ok &= check_in_time("stores a fresh record", self.stored("fresh"), 30)
        for name, number in self.seen().items():
            ok &= check(number > 0 or bool(self.only), f"{name}: {number}")
        say(f"faults: {dict(self.happened)}")
        return ok

    def recovered(self) -> bool:
        """Whether a new record makes its way; collectors may have died at a point."""
        self.breakage.tend_collectors()
        record = f"recovered-{time.monotonic_ns()}"
        with suppress(RetryableError):
            self.pipeline.admit(record)
        return in_time(self.stored(record), 1)

    def drained(self) -> bool:
        self.breakage.tend_collectors()
        if self.pipeline.waiting():
            self.pipeline.replay().join()
        return not self.pipeline.waiting() and not self.pipeline.depth()

    def stored(self, record: str) -> Callable[[], bool]:
        return lambda: self.pipeline.oracle.stored(self.pipeline.dsn, record)

    def seen(self) -> dict[str, int]:
        """What shows that the faults have bitten."""
        said = Counter[str]()
        for line in self.pipeline.log.read_text().splitlines():
            with suppress(ValueError):
                found = json.loads(line)
                number = re.match(r"(?:took over )?(\d+)", found["message"])
                said[found["action"]] += int(number[1]) if number else 1
        ids = [name.partition(".")[0] for name in self.breakage.spooled]
        with psycopg.connect(self.pipeline.dsn) as connection:
            replayed, bisected = connection.execute(
                "SELECT count(*) FILTER (WHERE batch_id = ANY(%s::uuid[])),"
                " count(*) FILTER (WHERE dead_letters > 0) FROM batches",
                [ids],
            ).fetchone()
        return {
            "retries": said["store_away"] + said["queue_away"],
            "reclaims": said["reclaimed"],
            "ledger conflicts": said["stored_before"],
            "spool replays": replayed,
            "bisected batches": bisected,
            "spoiled answers": sum(
                proxy.spoiled for proxy in self.breakage.proxies.values()
            ),
        }


def in_time(condition: Callable[[], bool], seconds: float) -> bool:
    try:
        wait_until(condition, "", seconds)
    except AssertionError:
        return False
    return True


def check(good: bool, what: str) -> bool:
    say(f"{'ok   ' if good else 'WRONG'} {what}")
    return good


def check_in_time(what: str, condition: Callable[[], bool], seconds: float) -> bool:
    began = time.monotonic()
    good = in_time(condition, seconds)
    return check(good, f"{what} ({time.monotonic() - began:.1f} s)")


def say(sentence: str) -> None:
    print(sentence, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0, help="default: 20")
    parser.add_argument("--seed", type=int, help="default: any; it is printed")
    names = [kind.__name__ for kind in Breakage.kinds(cast(Breakage, Breakage))]
    parser.add_argument(
        "--only", nargs="+", metavar="KIND", choices=names, default=(),
        help=f"let nothing else happen; of {', '.join(names)}",
    )  # fmt: skip # one option
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    say(f"seed {seed}, {options.minutes:g} min")
    with tempfile.TemporaryDirectory(prefix="godot-soak-") as folder:
        Path(folder).chmod(0o711)
        breakage = Breakage(Path(folder), seed=seed)
        try:
            soak = Soak(breakage, minutes=options.minutes, only=options.only)
            return 0 if soak.run() else 1
        finally:
            breakage.close()


if __name__ == "__main__":
    sys.exit(main())
