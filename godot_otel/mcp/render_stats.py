"""Statistics as an agent gets them: structured, every name clean and short."""

from __future__ import annotations

from typing import Any

from godot_otel import query
from godot_otel.mcp.render import BUDGET, ROOM, dumps, whole_rows
from godot_otel.query import sanitize

_TEXT_MAX = 200
_NAME_MAX = 60  # in each bucket once more


def stats_answer(counted: query.Stats) -> dict[str, Any]:
    """The answer of dewey_get_log_stats, its lists cut at whole rows."""
    answer = counted.as_json()
    for bucket in answer.get("histogram", {}).get("buckets", ()):
        bucket["by"] = _by(bucket["by"])
    answer = {key: _short(one) for key, one in sanitize.value(answer).items()}
    room = ROOM
    for title, holder, key in _lists(answer):
        whole = holder[key]
        # of a histogram the newest buckets stay
        ordered = whole[::-1] if key == "buckets" else whole
        rows, cut = whole_rows(map(dumps, ordered), room)
        room -= sum(len(row) + 1 for row in rows)
        if cut:
            kept = ordered[: len(rows)]
            holder[key] = kept[::-1] if key == "buckets" else kept
            answer["notes"].append(
                f"{title}: {len(rows)} of {len(whole)} shown, cut at whole rows:"
                f" a result holds {BUDGET} characters"
            )
    return answer


def _by(counts: dict[str, int]) -> dict[str, int]:
    """Clean names; those that are then the same are one."""
    found: dict[str, int] = {}
    for name, lines in counts.items():
        short = sanitize.shorten(sanitize.clean(name), _NAME_MAX)
        found[short] = found.get(short, 0) + lines
    return found


def _lists(answer: dict[str, Any]) -> list[tuple[str, dict[str, Any], str]]:
    found: list[tuple[str, dict[str, Any], str]]
    found = [
        (key, answer, key)
        for key in ("components", "groups", "operations")
        if key in answer
    ]
    if fields := answer.get("fields"):
        found.append(("fields", fields, "values" if "values" in fields else "keys"))
    if over_time := answer.get("histogram"):
        found.append(("histogram", over_time, "buckets"))
    return found


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return sanitize.shorten(value, _TEXT_MAX)
    if isinstance(value, list):
        return [_short(one) for one in value]
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    return value
