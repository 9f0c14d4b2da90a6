"""Trees of spans and lines: what a trace looks like, whatever of it is stored."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from godot_otel import query
from godot_otel.mcp.render_tree import tree_text
from godot_otel.query.linked import Linked
from godot_otel.query.span import KINDS

GOLDEN = Path(__file__).parent / "golden"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER = "5" * 32
START = datetime(2026, 10, 1, 12, tzinfo=UTC)
START_NS = query.nanoseconds(START)
INGEST = query.Ingest(0, 0, 5_000_000, 0.0, {}, START)
_MS = 1_000_000


def span(
    id_: int, parent: int | None, at: float, ms: float, whose: str, kind="", why="",
    **more,
) -> query.Span:  # fmt: skip # the service and the name are one text
    service, _, name = whose.partition(" ")
    return query.Span(
        start_ns=START_NS + round(at * _MS),
        duration_ns=round(ms * _MS),
        seq=id_,
        kind=KINDS.index(kind.upper()) if kind else 1,
        status=2 if why else 0,
        environment="prod",
        service=service,
        name=name,
        status_message=why,
        trace_id=TRACE,
        span_id=f"{id_:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        **more,
    )


def line(span_id: int | None, at: float, whose: str, severity=9, **more) -> query.Line:
    service, _, body = whose.partition(" ")
    return query.Line(
        time=START + timedelta(milliseconds=at), nanos=0,
        seq=1000 + round(at), severity=severity, environment="prod", service=service,
        logger=f"{service}.log", body=body, trace_id=TRACE,
        span_id=None if span_id is None else f"{span_id:016x}", **more,
    )  # fmt: skip # one line


def found(spans, lines=(), linked=(), notes=()) -> query.TraceLines:
    """What the store answers of these."""
    lines = sorted(lines, key=lambda one: one.position)
    tree = query.build(spans, lines)
    errors = [one for one in lines if one.severity >= 17]
    page = query.Page(list(lines), None, None, None, INGEST, list(notes))
    whole = timedelta(microseconds=tree.duration_ns // 1000)
    first = datetime.fromtimestamp(0, UTC) + timedelta(
        microseconds=tree.first_ns // 1000
    )
    services = sorted({one.service for one in (*spans, *lines)})
    trace = query.Trace(
        TRACE, first, first + whole, len(lines), len(errors), services, tree.spans,
        tree.failed,
    )  # fmt: skip # one trace
    return query.TraceLines(
        trace, errors[0] if errors else None, page, list(spans), list(linked)
    )


CHECKOUT = [
    span(1, None, 0, 812, "shop POST /checkout", "server", "payments answered 502"),
    span(2, 1, 4, 31, "shop verify_token"),
    span(3, 1, 40, 760, "shop POST", "client", "502"),
    span(
        4, 3, 42, 750, "payments POST /charge", "server", "PoolTimeout: no connection"
    ),
    span(5, 4, 610, 170, "payments connect db", "client", "PoolTimeout: no connection"),
]
CHECKOUT_LINES = [
    line(1, 1, "shop checkout of cart 7 begins"),
    line(4, 45, "payments retry 1/3 after timeout", 13),
    line(4, 780, "payments no connection to the database", 17,
         attributes={"exception.type": "PoolTimeout", "exception.message": "no connection",
                     "exception.stacktrace": "Traceback\n  File x\nPoolTimeout", "region": "eu"}),
    line(1, 810, "shop cart 7 was not paid", 17),
    line(None, 811, "shop access: POST /checkout 502"),
]  # fmt: skip # a line a line


def cases():
    """Golden outputs by name: what is stored, and which span is looked at."""
    yield "failing", found(CHECKOUT, CHECKOUT_LINES), ""
    yield "focus", found(CHECKOUT, CHECKOUT_LINES), f"{4:016x}"
    yield "no_root", found(
        [span(2, 1, 4, 31, "shop verify_token"), span(3, 1, 40, 7, "shop GET", "client")],
        [line(1, 2, "shop still at it"), line(3, 41, "shop asked")],
    ), ""  # fmt: skip # the root runs on
    yield "unknown_parent", found(
        [span(1, None, 0, 90, "shop GET /"), span(9, 7, 20, 30, "stock GET /items", "server")],
        [line(6, 25, "stock of a span that nobody knows"), line(7, 21, "stock in between")],
    ), ""  # fmt: skip # one is lost
    yield "clocks", found(
        [span(1, None, 0, 100, "shop GET /"), span(2, 1, 10, 80, "shop GET", "client"),
         span(3, 2, 2015, 70, "stock GET /items", "server"),
         span(4, 2, -2985, 70, "prices GET /prices", "server")]
    ), ""  # fmt: skip # two that are wrong
    yield "alike", found(
        [span(1, None, 0, 900, "shop GET /list"),
         *(span(100 + n, 1, 2 + 4 * n, 3 + n % 7, "shop SELECT items", "client")
           for n in range(198)),
         span(400, 1, 850, 2, "shop SELECT items", "client", "deadlock detected")],
        [line(100 + n, 3 + 4 * n, "shop slow query") for n in range(3)],
    ), ""  # fmt: skip # one query a row
    yield "circle", found(
        [span(1, None, 0, 50, "shop GET /"), span(2, 3, 5, 20, "shop a"),
         span(3, 2, 6, 10, "shop b"), span(4, 4, 7, 5, "shop c"),
         span(1, None, 0, 50, "shop GET /"), span(5, 1, 8, 2, "shop d")],
        [line(1, 1, "shop twice")],
    ), ""  # fmt: skip # and an id twice
    yield "linked", found(
        [span(1, None, 0, 40, "worker process orders", "consumer",
              links=[{"trace_id": OTHER, "span_id": "1" * 16}])],
        linked=[
            Linked(OTHER, "1" * 16, f"{1:016x}", 1,
                   query.Root("shop", "POST /checkout", 2, 2, 812 * _MS, True)),
            Linked("6" * 32, "1" * 16, f"{1:016x}", 3),
        ],
    ), ""  # fmt: skip # of a queue
    yield "cut", found(
        [span(1, None, 0, 3000, "shop GET /report"),
         *(span(2 + n, 1, n, 2 + n % 5, f"shop part {n % 500}") for n in range(1990)),
         span(5000, 1, 100, 1500, "shop join"),
         span(5001, 1, 2000, 3, "shop late", why="ValueError: no"),
         span(5002, 5001, 2001, 1, "db last", "client", why="ValueError: no")],
        [line(2 + n, n + 0.5, f"shop said {n}") for n in range(300)],
    ), ""  # fmt: skip # two thousand


CASES = list(cases())


@pytest.mark.parametrize(
    ("name", "stored", "span_id"), CASES, ids=[name for name, *_ in CASES]
)
def test_a_trace_is_shown_as_in_its_golden_file(name, stored, span_id, request):
    limit = 40 if name == "cut" else 200
    text = tree_text(stored, span_id=span_id, limit=limit, max_chars=300) + "\n"
    text = re.sub(r"untrusted-logs id=[0-9a-f]{8}", "untrusted-logs id=MARK", text)
    file = GOLDEN / f"trace_{name}.txt"
    if request.config.getoption("--update"):
        file.write_text(text)
        pytest.skip(f"{file.name} was written anew, and so not compared")
    assert text == file.read_text()
