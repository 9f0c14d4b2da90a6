"""Where a trace broke: the span that others failed because of."""

from __future__ import annotations

from godot_otel.query.tree import Node, Tree


def failing(tree: Tree) -> Node | None:
    """The span in which the failure began; None where no span failed.

    From the first root that failed (else from the first failed span) down: to the child
    that failed for the same reason, else to the failed child that ended last, for one
    that was tried again before it is not what the caller failed of. A server that
    refuses does not fail, so where no child did, to one whose lines have errors.
    """
    failed = [node for node in tree.nodes() if _failed(node)]
    whole = [node for node in failed if node.parent is None]
    node = found = next(iter(whole or failed), None)
    while node and (below := [one for one in node.children if one.errors]):
        said = node.span.failure if node.span else ""
        node = max(below, key=lambda one: _likely(one, said))
        if _failed(node) or _says_error(node):
            found = node
    return found


def reason(node: Node) -> str:
    """What a failed span says of it: its exception or status, else its first error."""
    if node.span and node.span.failed and node.span.failure:
        return node.span.failure
    line = next((one for one in node.lines if one.failed), None)
    return "" if line is None else line.failure or line.body


def _failed(node: Node) -> bool:
    return node.span is not None and node.span.failed


def _says_error(node: Node) -> bool:
    return node.span is not None and any(one.failed for one in node.lines)


def _likely(child: Node, said: str) -> tuple[bool, bool, bool, int]:
    """How likely a caller failed because of a child that failed or has what failed."""
    same = bool(said and child.span and child.span.failure == said)
    return _failed(child), child.failed > 0, same, child.end_ns
