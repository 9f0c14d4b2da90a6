"""The level board: which log levels hold for a while, and who has applied them.

Kept beside the queue, in two hashes that ``exporters/README.md`` describes. Here are
the scripts that write and read them and the reading of their replies; whoever has a
client runs them (``godot_otel.queue`` does for applications and commands). All scripts
take the same keys: levels, instances, meta. Only the server's clock counts.

Standard library only: this module is imported inside the user's application.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LEVELS = {
    "TRACE": 5, "DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50,
}  # fmt: skip # one line of levels
_SYNONYMS = {"WARN": "WARNING", "FATAL": "CRITICAL"}
MAX_TTL_MS = 7 * 24 * 3600 * 1000
STALE_MS = 10 * 60 * 1000
"""Instances that were not seen for so long are forgotten."""


def level_name(text: str) -> str:
    """Return a level's one name: any case, WARN and FATAL as well.

    Raises:
        ValueError: there is no such level; its text is a sentence.
    """
    name = _SYNONYMS.get(text.upper(), text.upper())
    if name not in LEVELS:
        raise ValueError(f"{text!r} is no level: expected {', '.join(LEVELS)}")
    return name


# Version numbers are times, so that none comes again after the server was emptied.
_BEGIN = """#!lua flags=allow-oom
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end
local function version()
  return whole(tonumber(redis.call('HGET', KEYS[3], 'level_version') or 0) or 0)
end
local function bump()
  local new = whole(math.max(version() + 1, now))
  redis.call('HSET', KEYS[3], 'level_version', new)
  return new
end
local function prune()
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    local ends = tonumber(string.match(all[i + 1], '"until_ms":%s*(%d+)'))
    if ends and ends <= now then redis.call('HDEL', KEYS[1], all[i]) end
  end
end
"""

# ARGV: target, level's name, milliseconds
SET = (
    _BEGIN
    + """
prune()
redis.call('HSET', KEYS[1], ARGV[1], '{"level":"' .. ARGV[2] .. '","until_ms":'
           .. whole(now + ARGV[3]) .. '}')
return bump()
"""
)

# ARGV: a target, or nothing for all of them
RESET = (
    _BEGIN
    + """
prune()
local removed = redis.call('HLEN', KEYS[1])
if ARGV[1] then removed = redis.call('HDEL', KEYS[1], ARGV[1])
else redis.call('DEL', KEYS[1]) end
if removed > 0 then bump() end
return removed
"""
)

# A key that somebody made another type of is as good as empty: applications read this.
READ = (
    _BEGIN
    + """
local all = redis.pcall('HGETALL', KEYS[1])
return {version(), whole(now), all.err and {} or all}
"""
)

# ARGV: instance, a JSON object. The hash is read through at most once a minute.
REGISTER = (
    _BEGIN
    + f"local stale_ms = {STALE_MS}"
    + """
local rest = string.sub(ARGV[2], 2)
local value = '{"seen_ms":' .. whole(now) .. (rest == '}' and rest or ',' .. rest)
if type(redis.pcall('HSET', KEYS[2], ARGV[1], value)) == 'table' then
  return version()
end
local pruned = tonumber(redis.call('HGET', KEYS[3], 'instances_pruned_ms') or 0) or 0
if math.abs(now - pruned) > 60000 then
  redis.call('HSET', KEYS[3], 'instances_pruned_ms', whole(now))
  local all = redis.call('HGETALL', KEYS[2])
  for i = 1, #all, 2 do
    local seen = tonumber(string.match(all[i + 1], '"seen_ms":%s*(%d+)'))
    if seen and math.abs(now - seen) > stale_ms then
      redis.call('HDEL', KEYS[2], all[i])
    end
  end
end
return version()
"""
)

INSTANCES = (
    _BEGIN
    + """
local all = redis.pcall('HGETALL', KEYS[2])
return {version(), whole(now), all.err and {} or all}
"""
)


@dataclass(frozen=True, slots=True)
class LevelBoard:
    """The levels that hold now: target -> (level's name, seconds left).

    A target is a component (``service.name``) or ``component/logger``.
    """

    version: int
    levels: dict[str, tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Instance:
    """One running process, as it last described itself."""

    id: str
    service: str
    host: str
    pid: int
    age_seconds: float
    level_version: int
    level: str
    """What its root logger exports."""
    applied: dict[str, str]
    """The live levels it has applied: target -> level's name."""
    absent: tuple[str, ...]
    """Those of them whose logger does not exist there yet."""
    kept: dict[str, str]
    """Loggers with a level of their own, which the component's does not reach."""

    def hears(self, target: str) -> bool:
        """Whether *target* is this instance's component, or a logger in it."""
        return target == self.service or target.startswith(f"{self.service}/")


def board(reply: list[Any]) -> LevelBoard:
    """Read the reply of ``READ``; what nobody of us wrote is left out."""
    now = int(reply[1])
    levels = {}
    for target, facts in _objects(reply[2]):
        until, level = facts.get("until_ms"), facts.get("level")
        if type(until) is not int or not isinstance(level, str) or until <= now:
            continue
        if level in LEVELS:
            levels[target] = (level, min(until - now, MAX_TTL_MS) / 1000)
    return LevelBoard(version(reply[0]), levels)


def instances(reply: list[Any]) -> list[Instance]:
    """Read the reply of ``INSTANCES``, by component, host and process id."""
    now = int(reply[1])
    found = []
    for name, facts in _objects(reply[2]):
        seen, service = facts.get("seen_ms"), facts.get("service")
        if type(seen) is not int or not isinstance(service, str) or not service:
            continue
        age = min(abs(now - seen), MAX_TTL_MS) / 1000
        found.append(_instance(name, service, age, facts))
    return sorted(found, key=lambda one: (one.service, one.host, one.pid, one.id))


def _instance(name: str, service: str, age: float, facts: dict[str, Any]) -> Instance:
    absent = facts.get("absent")
    return Instance(
        id=name, service=service, age_seconds=age,
        host=str(facts.get("host", "")), level=str(facts.get("level", "")),
        pid=_whole(facts.get("pid")), level_version=_whole(facts.get("level_version")),
        applied=_texts(facts.get("applied")), kept=_texts(facts.get("kept")),
        absent=tuple(map(str, absent)) if isinstance(absent, list) else (),
    )  # fmt: skip # who, where, what


def version(text: bytes | str | None) -> int:
    """Read a level version; 0 where there is none, or something else."""
    try:
        return int(text or 0)
    except ValueError:
        return 0


def _objects(flat: list[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give each field whose value is a JSON object."""
    for field, text in zip(flat[::2], flat[1::2], strict=False):
        try:
            name, facts = field.decode(), json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(facts, dict):
            yield name, facts


def _whole(value: Any) -> int:
    return value if type(value) is int else 0


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {name: text for name, text in value.items() if isinstance(text, str)}
