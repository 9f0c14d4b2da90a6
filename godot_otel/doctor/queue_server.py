"""The queue an application would find: by what, whether it answers, how it is kept."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from godot_otel import settings
from godot_otel.doctor.check import Check, clock, ok, problem, warning
from godot_otel.queue import Depth, Queue, unreachable
from godot_otel_exporter.endpoint import find, without_password

ABOUT = "queue"
TIMEOUT = 3.0
_DEAD_MS = 15_000
_OLDEST = {"redis": (7, 0), "valkey": (7, 2)}
_FSYNC = {
    "everysec": (
        "appendfsync everysec: a SIGKILL of the server during a slow fsync loses what"
        " it acknowledged in up to 2 s (measured: 7,094 of 24,412 batches with a fsync"
        " of 1.5 s); a power cut, about the last second"
    ),
    "no": (
        "appendfsync no: a power cut loses what the operating system had not written,"
        " up to half a minute"
    ),
}


def checks() -> Iterator[Check]:
    """Check the queue that the environment or a running stack names."""
    found = find()
    if found is None:
        yield warning(
            ABOUT,
            "no variable names a queue and no stack runs in"
            f" {settings.data_dir()}: batches go to the spool",
            "start one with `godot-otel up`, or set GODOT_REDIS_URL",
        )
        return
    url, rule = found
    where = f"{without_password(url)} (by {rule})"
    try:
        client = _connect(url)
    except (redis.RedisError, OSError) as error:
        yield _unanswered(error, where, rule)
        return
    except (ValueError, TypeError) as error:  # of options in the URL's query
        yield problem(ABOUT, f"{where}: {error}", f"correct the options in {rule}")
        return
    with client:
        yield ok(ABOUT, f"{where} answers")
        for check in (_version, _kept, _memory, _clock):
            yield from _asked(check, client)
        yield from _fill(url)


def _connect(url: str) -> Any:
    client = redis.Redis.from_url(
        url,
        protocol=2,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=TIMEOUT,
        socket_timeout=TIMEOUT,
    )
    client.ping()
    return client


def _unanswered(error: Exception, where: str, rule: str) -> Check:
    if isinstance(error, redis.AuthenticationError):
        return problem(
            ABOUT,
            f"{where} refused the user or password",
            f"correct them in {rule}",
        )
    reason = getattr(error.__cause__ or error.__context__, "strerror", None)
    said = str(unreachable(error)) + (f" ({reason})" if reason else "")
    do = f"start that server, or correct {rule}"
    if rule not in {setting.env for setting in settings.SETTINGS}:
        do = "see `godot-otel status`; `godot-otel down`, then `up`, starts anew"
    return problem(ABOUT, f"{where}: {said}", do)


def _asked(check: Callable[[Any], Iterator[Check]], client: Any) -> Iterator[Check]:
    """Run one check; a server may forbid the question, as managed ones do."""
    try:
        yield from check(client)
    except (redis.RedisError, OSError) as error:
        what = (check.__doc__ or "").rstrip(".")
        yield warning(
            ABOUT,
            f"could not check {what}: {type(error).__name__}",
            "look at the server's own configuration",
        )


def _version(client: Any) -> Iterator[Check]:
    """the server's version."""
    yield version(client.info("server"))


def version(facts: Mapping[str, Any]) -> Check:
    """Judge the server's version by what INFO says of it."""
    name = "valkey" if facts.get("server_name") == "valkey" else "redis"
    text = str(facts.get("valkey_version") or facts["redis_version"])
    numbers = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    oldest = ".".join(map(str, _OLDEST[name]))
    if numbers >= _OLDEST[name]:
        return ok(ABOUT, f"{name.capitalize()} {text}")
    return problem(
        ABOUT,
        f"{name.capitalize()} {text} is older than {oldest}",
        f"upgrade it to {oldest} or newer",
    )


def _kept(client: Any) -> Iterator[Check]:
    """eviction and persistence."""
    found: dict[str, str] = {}
    for name in ("maxmemory-policy", "appendonly", "appendfsync"):
        found |= client.config_get(name)
    policy = found["maxmemory-policy"]
    if policy != "noeviction":
        yield problem(
            ABOUT,
            f"maxmemory-policy {policy}: the server may delete what waits",
            "CONFIG SET maxmemory-policy noeviction, and in its configuration file",
        )
    if found["appendonly"] != "yes":
        yield problem(
            ABOUT,
            "appendonly no: what waits is lost when the server ends",
            "CONFIG SET appendonly yes, and in its configuration file",
        )
    elif text := _FSYNC.get(found["appendfsync"]):
        yield warning(ABOUT, text, "CONFIG SET appendfsync always")
    elif policy == "noeviction":
        yield ok(ABOUT, "noeviction, appendonly yes, appendfsync always")


def _memory(client: Any) -> Iterator[Check]:
    """the server's memory limit."""
    limit = int(client.info("memory").get("maxmemory", 0))
    wanted = settings.value("queue_max_bytes")
    if limit and limit < wanted:
        yield warning(
            ABOUT,
            f"the server's maxmemory is {_mib(limit)}, the queue's limit"
            f" {_mib(wanted)}: it will refuse batches earlier",
            "raise maxmemory, or lower GODOT_QUEUE_MAX_BYTES",
        )


def _clock(client: Any) -> Iterator[Check]:
    """the server's clock."""
    before = time.time()
    seconds, microseconds = client.time()
    ours = (before + time.time()) / 2
    yield clock(ABOUT, "the queue", int(seconds) + int(microseconds) / 1e6 - ours)


def _fill(url: str) -> Iterator[Check]:
    try:
        depth, collectors = asyncio.run(_ask(url))
    except (redis.RedisError, OSError, TimeoutError) as error:
        yield problem(
            ABOUT,
            f"the queue itself does not answer: {type(error).__name__}",
            "may this user run scripts (EVALSHA) and read godot:{0}:*?",
        )
        return
    more_than_half = (
        2 * depth.bytes >= depth.max_bytes or 2 * depth.records >= depth.max_records
    )
    what = (
        f"{depth.records:,} of {depth.max_records:,} records wait,"
        f" {_mib(depth.bytes)} of {_mib(depth.max_bytes)}"
    )
    if depth.batches:
        what += f", the oldest for {depth.oldest_age_seconds:,.0f} s"
    if depth.batches and not collectors:
        yield problem(
            ABOUT, f"{what}; no collector reads it", "start `godot-otel collect`"
        )
    elif more_than_half:
        yield warning(
            ABOUT,
            f"{what}; collectors do not keep up",
            "is Postgres there and quick? More collectors: `collect --workers N`",
        )
    else:
        yield ok(ABOUT, f"{what}; collectors that read it: {collectors}")


async def _ask(url: str) -> tuple[Depth, int]:
    source = Queue(url)
    try:
        async with asyncio.timeout(TIMEOUT):
            depth = await source.depth()
            try:
                rows = await source.consumers()
            except redis.ResponseError:  # no group: none has ever read it
                rows = []
            return depth, sum(int(row["idle"]) < _DEAD_MS for row in rows)
    finally:
        await source.close()


def _mib(size: int) -> str:
    return f"{size / settings.MIB:,.1f} MiB"
