"""A trace with spans as an agent reads it: a tree by indentation, within the budget."""

from __future__ import annotations

from godot_otel import query
from godot_otel.mcp.render import (
    ROOM,
    dumps,
    fitting,
    marked,
    notes,
    trace_line,
)
from godot_otel.query import Outline, Row, sanitize
from godot_otel.query.sanitize import name
from godot_otel.query.tree import focused
from godot_otel.query.tree_text import DEEPEST, Cells, cells, details, headlines, indent

_HEAD_ROOM = 6_000  # characters of what is said before the rows
_COMPONENTS_SHOWN = 20


def tree_text(
    found: query.TraceLines, *, span_id: str, limit: int, max_chars: int
) -> str:
    """The answer of logger_get_trace about a trace with spans."""
    trace = found.trace
    assert trace
    tree = query.build(found.spans, found.page.lines, stored=trace.spans)
    focus = focused(tree, span_id)
    roots, loose = ([focus], []) if focus else (tree.roots, tree.lines)
    begin = query.nanoseconds(trace.first)
    whole = focus.duration_ns if focus else tree.duration_ns
    broken = query.failing(tree)

    def text(row: Row) -> str:
        return _row(row, cells(row, begin, whole, max_chars), max_chars)

    head = _inside(found, tree, focus, broken, max_chars)
    shown = query.outline(
        roots, loose, limit=limit, room=ROOM - sum(len(one) + 1 for one in head),
        size=lambda row: len(text(row)) + 1, first=broken,
    )  # fmt: skip # one call
    rows = [text(row) for row in shown.rows]
    return "\n".join(
        [
            _header(trace, shown, focus),
            *marked([*head, *rows]),
            found.page.ingest.sentence(),
            *notes(found.page.notes),
            *_next(trace, shown, broken, focus),
        ]
    )


def tree_json(found: query.TraceLines, *, span_id: str, limit: int) -> str:
    """The same as one JSON object: spans and lines by time, those that tell most."""
    trace = found.trace
    assert trace
    tree = query.build(found.spans, found.page.lines, stored=trace.spans)
    focus = focused(tree, span_id)
    roots, loose = ([focus], []) if focus else (tree.roots, tree.lines)
    begin = dumps({"trace": _trace(trace)})[:-1]
    facts = {
        "linked": [_linked(one) for one in found.linked],
        "window": found.page.window(),
        "ingest": found.page.ingest.as_json(),
        "notes": notes(found.page.notes),
    }
    texts: dict[int, str] = {}

    def size(row: Row) -> int:
        if row.node is None and row.line is None:
            return limit * ROOM  # several alike: their number is in left_out
        texts[id(row)] = _object(row)
        return len(texts[id(row)]) + 1

    room = ROOM - len(begin) - len(dumps(facts))
    shown = query.outline(
        roots, loose, limit=limit, room=room, size=size, first=query.failing(tree)
    )
    rows = [row for row in shown.rows if id(row) in texts]
    rows.sort(key=lambda row: row.begin_ns)
    spans = [texts[id(row)] for row in rows if row.node and row.node.span]
    lines = [texts[id(row)] for row in rows if row.line]
    left_out = {
        "spans": max(shown.spans, 0 if focus else trace.spans) - len(spans),
        "lines": max(shown.lines, 0 if focus else trace.lines) - len(lines),
    }
    more = {"next_cursor": None, "truncated": not shown.whole, "left_out": left_out}
    rest = dumps(sanitize.value({**more, **facts}))[1:]
    return f'{begin},"spans":[{",".join(spans)}],"rows":[{",".join(lines)}],{rest}'


def _trace(trace: query.Trace) -> dict[str, object]:
    """A trace's facts, with its components as far as names on a row go."""
    names = [name(one) for one in trace.components[:_COMPONENTS_SHOWN]]
    left = len(trace.components) - len(names)
    facts = sanitize.value(trace.as_json())
    return {**facts, "components": names, "omitted_components": left}


def _linked(one: query.Linked) -> dict[str, object]:
    facts = one.as_json()
    if root := facts["root"]:
        facts["root"] = {
            **root,
            **{key: name(root[key]) for key in ("service", "name")},
        }
    return facts


def _object(row: Row) -> str:
    if row.line:
        return dumps(fitting(sanitize.value(row.line.as_json())))
    if row.node and row.node.span:
        return dumps(_short(sanitize.value(row.node.span.as_json())))
    return ""


def _short(span: dict[str, object]) -> dict[str, object]:
    """A span whose long parts are left out, and said so, where it is very long."""
    for key in ("events", "links", "attributes"):
        if len(dumps(span)) <= 8_000:
            break
        text = dumps(span[key])
        span = {**span, key: sanitize.shorten(text, 1_500)}
    return {
        key: sanitize.shorten(one, 2_000) if isinstance(one, str) else one
        for key, one in span.items()
    }


def _row(row: Row, said: Cells, max_chars: int) -> str:
    text = f"{said.offset:>10} {said.took:>8}  {indent(row.depth)}{said.says}"
    if row.line and row.line.failed and row.line.stack:
        stack = sanitize.line(row.line.stack)
        text += f" stack: {sanitize.shorten_front(stack, max_chars)}"
    return f"{text} {said.id}".rstrip()


def _header(trace: query.Trace, shown: Outline, focus: query.Node | None) -> str:
    folded = f", {shown.folded} folded" if shown.folded else ""
    spans = max(shown.spans, 0 if focus else trace.spans)
    left_out = spans - shown.spans_shown - shown.folded
    out = f", {left_out} left out" if left_out else ""
    lines = shown.lines if focus else trace.lines
    facts = trace.as_json()
    return (
        f"trace {trace.id}  {facts['start']}  {facts['duration_ms']} ms"
        f"  spans {spans} ({shown.spans_shown} shown{folded}{out})"
        f"  lines {lines} ({shown.lines_shown} shown)"
        f"  errors {trace.errors}  failed spans {trace.span_errors}"
    )


def _inside(
    found: query.TraceLines,
    tree: query.Tree,
    focus: query.Node | None,
    broken: query.Node | None,
    max_chars: int,
) -> list[str]:
    """What is said before the rows."""
    assert found.trace
    begin = query.nanoseconds(found.trace.first)
    if focus:
        above, path = focus.parent, list[str]()
        while above and len(path) < DEEPEST:
            path.append(
                f"{name(above.span.name if above.span else '?')} {above.span_id}"
            )
            above = above.parent
        head = [f"below: {' > '.join(reversed(path))}"] if path else []
        return head + (details(focus.span, begin) if focus.span else [])
    components = ", ".join(
        name(one) for one in found.trace.components[:_COMPONENTS_SHOWN]
    )
    head = [f"components: {components}"]
    head += headlines(tree, broken, found.linked, min(max_chars, 500))
    if found.first_error:
        head.append(
            f"first error: {trace_line(found.first_error, found.trace, max_chars)}"
        )
    kept, room = list[str](), _HEAD_ROOM
    for one in head:
        room -= len(one) + 1
        if room > 0 or len(kept) < 2:
            kept.append(one)
    return kept


def _next(
    trace: query.Trace,
    shown: Outline,
    broken: query.Node | None,
    focus: query.Node | None,
) -> list[str]:
    """How to see what was left out."""
    said = []
    if shown.failed_hidden:
        said.append(f"{shown.failed_hidden} failed spans are not shown")
    if not focus and broken:
        said.append(
            f'Next: logger_get_trace(trace_id="{trace.id}", span_id="{broken.span_id}")'
        )
    elif not focus and shown.left_out:
        said.append("Next: the same with span_id= shows what is below one span")
    if (shown.lines if focus else trace.lines) > shown.lines_shown:
        said.append(f'All its lines: logger_query(trace_id="{trace.id}")')
    return said
