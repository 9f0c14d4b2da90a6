"""Patterns as an agent reads them: one row each, and one for its newest line."""

from __future__ import annotations

from typing import Any

from godot_otel import query
from godot_otel.mcp.render import dumps, footer, header, marked, notes, whole_rows
from godot_otel.query import sanitize
from godot_otel.query.sanitize import name

_TEMPLATE_MAX = 300
_EXAMPLE_MAX = 400
_SERVICES_SHOWN = 8


def patterns_text(found: query.Patterns) -> str:
    """The answer of logger_patterns."""
    rows, cut = whole_rows(map(_row, found.patterns))
    head = header(found.window(), found.given, "by lines")
    if found.compared:
        head = header(found.window(), found.given, "changes first")
        head += f"\ncompared with {sanitize.line(found.compared)[:300]}"
    more = found.omitted + len(found.patterns) - len(rows)
    foot = f"{footer(len(rows), None, cut)} lines={found.lines}"
    if more:
        foot += f"; {more} patterns more: narrow the filters or raise limit"
    hints = [*notes(found.notes), *_next_steps(found, len(rows))]
    return "\n".join([head, *marked(rows), foot, found.ingest.sentence(), *hints])


def patterns_json(found: query.Patterns) -> str:
    """The same as one JSON object."""
    rows, cut = whole_rows(dumps(_shaped(one)) for one in found.patterns)
    rest = sanitize.value(found.facts()) | {"truncated": cut or found.omitted > 0}
    return f'{{"patterns":[{",".join(rows)}],{dumps(rest)[1:]}'


def _row(one: query.Pattern) -> str:
    services = sorted(one.services)
    shown = ",".join(name(service, 40) for service in services[:_SERVICES_SHOWN])
    if len(services) > _SERVICES_SHOWN:
        shown += f",+{len(services) - _SERVICES_SHOWN}"
    facts = one.as_json()
    parts = [f"[{one.change}]"] if one.change else []
    before = f" before {one.before.lines}" if one.before else ""
    parts += [facts["level"] or "-", f"{one.lines} lines ({one.share:.1%}){before}"]
    parts += [f"{facts['first_seen'][:19]}Z..{facts['last_seen'][:19]}Z", shown]
    parts += [name(one.logger), name(one.template, _TEMPLATE_MAX)]
    if line := one.example:
        body = sanitize.shorten(sanitize.line(line.body), _EXAMPLE_MAX)
        if line.failure:
            failure = sanitize.shorten(sanitize.line(line.failure), _EXAMPLE_MAX)
            body = f"{body} {failure}"
        parts.append(f"| e.g. trace {line.trace_id or '-'} #{line.seq} {body}")
    return " ".join(parts)


def _shaped(one: query.Pattern) -> dict[str, Any]:
    """A pattern's JSON with its long texts shortened after they are cleaned."""
    shaped: dict[str, Any] = sanitize.value(one.as_json())
    shaped["template"] = sanitize.shorten(shaped["template"], _TEMPLATE_MAX)
    shaped["logger"] = sanitize.shorten(shaped["logger"], _TEMPLATE_MAX)
    services = shaped["services"][:_SERVICES_SHOWN]
    shaped["services"] = [sanitize.shorten(service, 80) for service in services]
    if line := one.example:
        shaped["example"] = {
            "trace_id": line.trace_id,
            "seq": line.seq,
            "body": sanitize.shorten(sanitize.clean(line.body), _EXAMPLE_MAX),
            "failure": sanitize.shorten(sanitize.clean(line.failure), _EXAMPLE_MAX),
        }
    return shaped


def _next_steps(found: query.Patterns, shown: int) -> list[str]:
    examples = [one.example for one in found.patterns[:shown] if one.example]
    traced = next((line for line in examples if line.trace_id), None)
    steps = []
    if traced:
        steps.append(f'Next: logger_get_trace(trace_id="{traced.trace_id}")')
    if found.patterns and not found.compared:
        steps.append('What is new: logger_patterns(compare_to="previous")')
    if not found.patterns:
        steps.append('Next: logger_patterns(level="INFO"), or start_time="-1d"')
    return steps
