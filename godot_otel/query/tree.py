"""One trace as a tree: spans below those that caused them, lines below their span.

Pure functions on rows. Whatever is stored becomes a tree with every span and every line
in it once: a parent that is not there is stood in for, and a circle is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from godot_otel.query.filters import LEVELS, FilterError
from godot_otel.query.line import Line
from godot_otel.query.span import Span, nanoseconds

CIRCLE = "its parents are a circle"
MISSING = "not here: still running, not sampled, expired, or yet to arrive"
UNREAD = "not among those that were read"


@dataclass(slots=True, eq=False)
class Node:
    """A span, or the place of one that is not here, with what is below it."""

    span_id: str
    span: Span | None = None
    """None: others name it as their parent, and it is not here."""
    note: str = ""
    """Why it stands where it does, if that is worth a word."""
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    start_ns: int = 0
    end_ns: int = 0
    self_ns: int = 0
    """Its duration without what its children cover."""
    spans: int = 0
    """With those below it; so are the next three."""
    failed: int = 0
    all_lines: int = 0
    severity: int = 0
    """Of the gravest line."""

    @property
    def errors(self) -> bool:
        """Whether it or what is below it has an error."""
        return self.failed > 0 or self.severity >= LEVELS["ERROR"]

    @property
    def duration_ns(self) -> int:
        """From start to end; of one that is not here, that of what is below it."""
        return self.end_ns - self.start_ns


_ById = dict[tuple[str, str], list[Node]]
"""By id and service, and by id and no service."""


@dataclass(frozen=True, slots=True)
class Tree:
    """What of a trace is known; roots and lines without a span by time."""

    roots: list[Node]
    lines: list[Line]
    """Those without a span, or of one of which nothing else is known."""
    first_ns: int
    last_ns: int
    spans: int

    @property
    def duration_ns(self) -> int:
        """From the first start to the last end, lines included."""
        return self.last_ns - self.first_ns

    def nodes(self) -> Iterator[Node]:
        """Every node, parents before their children, in the order of time."""
        return walk(self.roots)


def walk(roots: Iterable[Node]) -> Iterator[Node]:
    """Nodes and those below them, parents first; however deep they are."""
    pending = list(roots)[::-1]
    while pending:
        node = pending.pop()
        yield node
        pending += node.children[::-1]


def focused(tree: Tree, span_id: str) -> Node | None:
    """The span of this id, or the place of one that is not here; None: no id.

    Raises:
        FilterError: no span of the trace has it.
    """
    wanted = span_id.strip().lower()
    if not wanted:
        return None
    found = (node for node in tree.nodes() if node.span_id == wanted)
    if node := next(found, None):
        return node
    raise FilterError(f"span_id: {wanted} is no span of this trace")


def build(spans: Iterable[Span], lines: Iterable[Line], *, stored: int = 0) -> Tree:
    """Make the tree of a trace's spans and lines; *stored* spans it has, or fewer."""
    nodes = [
        Node(one.span_id, one, start_ns=one.start_ns, end_ns=one.end_ns)
        for one in sorted(spans, key=lambda one: (one.start_ns, -one.duration_ns))
    ]
    by_id: _ById = {}
    for node in nodes:
        assert node.span
        for service in ("", node.span.service):
            by_id.setdefault((node.span_id, service), []).append(node)
    roots = _join(nodes, by_id, UNREAD if stored > len(nodes) else MISSING)
    ordered = sorted(lines, key=lambda one: one.position)
    loose = _place_lines(ordered, by_id)
    for node in reversed(list(walk(roots))):
        _sum_up(node)
    roots.sort(key=lambda node: node.start_ns)
    times = [moment(line) for line in ordered]
    return Tree(
        roots=roots,
        lines=loose,
        first_ns=min(times + [node.start_ns for node in nodes], default=0),
        last_ns=max(times + [node.end_ns for node in nodes], default=0),
        spans=len(nodes),
    )


def moment(line: Line) -> int:
    """When a line was written, in nanoseconds since 1970."""
    return nanoseconds(line.time, line.nanos)


def _join(nodes: list[Node], by_id: _ById, gone: str) -> list[Node]:
    """Put each node below its parent; return the roots."""
    roots: list[Node] = []
    for node in nodes:
        assert node.span
        wanted = node.span.parent_id
        if wanted is None:
            roots.append(node)
            continue
        if (wanted, "") not in by_id:
            missing = Node(wanted, note=gone, start_ns=node.start_ns)
            by_id[wanted, ""] = [missing]
            roots.append(missing)
        node.parent = _whose(by_id, wanted, node.span.service, node)
        if node.parent is None:  # its own parent
            node.note = CIRCLE
            roots.append(node)
        else:
            node.parent.children.append(node)
    reached = set(map(id, walk(roots)))
    for node in nodes:
        if id(node) not in reached:
            assert node.parent
            node.parent.children.remove(node)
            node.parent, node.note = None, CIRCLE
            roots.append(node)
            reached.update(map(id, walk([node])))
    return roots


def _whose(
    by_id: _ById, span_id: str, service: str, child: Node | None = None
) -> Node | None:
    """Of nodes with one id (client and server may share it) that of the service."""
    for whose in (service, ""):
        for node in by_id.get((span_id, whose), ()):
            if node is not child:
                return node
    return None


def _place_lines(lines: list[Line], by_id: _ById) -> list[Line]:
    """Put lines below their spans; return those that have none here."""
    loose: list[Line] = []
    for line in lines:
        node = _whose(by_id, line.span_id or "", line.service)
        (node.lines if node else loose).append(line)
    return loose


def _sum_up(node: Node) -> None:
    """Count what is below a node whose children are summed up already."""
    if node.span and not node.children and not node.lines:  # most of them
        node.spans, node.failed = 1, int(node.span.failed)
        node.self_ns = max(0, node.duration_ns)
        return
    own = node.span is not None
    node.children.sort(key=lambda one: one.start_ns)
    node.spans = own + sum(one.spans for one in node.children)
    failed = bool(node.span and node.span.failed)
    node.failed = failed + sum(one.failed for one in node.children)
    node.all_lines = len(node.lines) + sum(one.all_lines for one in node.children)
    node.severity = max(
        [line.severity for line in node.lines]
        + [one.severity for one in node.children],
        default=0,
    )
    if not own:
        times = [moment(line) for line in node.lines]
        node.start_ns = min(times + [one.start_ns for one in node.children])
        node.end_ns = max(times + [one.end_ns for one in node.children])
    node.self_ns = _alone(node) if own else 0


def _alone(node: Node) -> int:
    """How much of a span's time no child of it covers."""
    left, covered = 0, node.start_ns
    for child in node.children:  # in the order of their starts
        start = min(max(child.start_ns, covered), node.end_ns)
        left += start - covered
        covered = max(covered, min(child.end_ns, node.end_ns))
    return max(0, left + node.end_ns - covered)
