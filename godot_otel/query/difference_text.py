"""What differs between two traces, in words; every text is clean."""

from __future__ import annotations

from godot_otel.query import sanitize
from godot_otel.query.difference import Difference, Operation
from godot_otel.query.sanitize import name
from godot_otel.query.span import took
from godot_otel.query.trace import Trace

_WHY_MAX = 300
_TEMPLATE_MAX = 200


def sides(found: Difference) -> list[str]:
    """The two traces as a whole."""
    return [
        _side("here", found.here, found.fails_here),
        _side("there", found.there, found.fails_there),
    ]


def rows(found: Difference) -> list[str]:
    """A row for each difference, the weightiest first: operations, then lines."""
    said = []
    for one in found.operations:
        numbers = f"here {_numbers(one.here)}  there {_numbers(one.there)}"
        operation = f"{name(one.service)}: {name(one.name)}"
        said.append(f"[{one.change}] {operation}  {numbers}")
    for kind in found.templates:
        alone = {(True, False): "only here", (False, True): "only there"}
        change = alone.get((kind.here > 0, kind.there > 0), "other count")
        template = sanitize.shorten(sanitize.line(kind.template), _TEMPLATE_MAX)
        said.append(
            f"[{change}] lines {kind.level or '-'} {name(kind.service)}  {template}"
            f"  here {kind.here}  there {kind.there}"
        )
    return said or ["they have the same operations, about as long, and the same lines"]


def _side(title: str, trace: Trace, fails: str) -> str:
    why = sanitize.shorten(sanitize.line(fails), _WHY_MAX)
    state = f"fails in {why}" if fails else "no span failed"
    duration_ns = trace.duration.total_seconds() * 1e9
    return (
        f"{title}: {trace.id[:8]} {took(duration_ns)} spans {trace.spans}"
        f" lines {trace.lines} errors {trace.errors} failed spans {trace.span_errors},"
        f" {state}"
    )


def _numbers(one: Operation) -> str:
    if not one.count:
        return "-"
    errors = f" {one.errors} failed" if one.errors else ""
    return f"×{one.count} {took(one.mean_ns)}{errors}"
