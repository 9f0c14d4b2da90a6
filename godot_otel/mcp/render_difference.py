"""What differs between two traces, as an agent reads it."""

from __future__ import annotations

from collections.abc import Iterable

from godot_otel import query
from godot_otel.mcp.render import ROOM, dumps, marked, whole_rows
from godot_otel.query import sanitize
from godot_otel.query.difference_text import rows, sides


def difference_text(found: query.Difference) -> str:
    """The answer of logger_get_trace with compare_to."""
    head = sides(found)
    kept, cut = whole_rows(rows(found), ROOM - sum(map(len, head)))
    said = f"rows={len(kept)} more={'yes' if cut else 'no'}"
    heads = [f"trace {found.here.id} compared with {found.there.id}"]
    return "\n".join([*heads, *marked([*head, *kept]), said])


def difference_json(found: query.Difference) -> str:
    """The same as one JSON object."""
    whole = sanitize.value(found.as_json())
    room = ROOM
    for key in ("operations", "templates"):
        kept, _ = whole_rows(map(dumps, _short(whole[key])), room)
        room -= sum(len(one) + 1 for one in kept)
        whole[f"omitted_{key}"] = len(whole[key]) - len(kept)
        whole[key] = _short(whole[key])[: len(kept)]
    for key in ("fails_here", "fails_there"):
        whole[key] = sanitize.shorten(whole[key], 500)
    for key in ("here", "there"):
        names = whole[key]["components"]
        whole[key]["components"] = [sanitize.shorten(one, 80) for one in names[:20]]
    return dumps(whole)


def _short(found: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    return [
        {
            key: sanitize.shorten(one, 200) if isinstance(one, str) else one
            for key, one in row.items()
        }
        for row in found
    ]
