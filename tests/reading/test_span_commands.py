"""Commands about traces with spans: in a pipe, on a terminal, as JSON."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from fix_commands import Run
from fix_lines import Row
from fix_spans import Span, Spans, link

GOOD, BAD = "a" * 32, "b" * 32
STACK = "Traceback (most recent call last):\n  File a.py\nTimeout: \x1b[2Jno card\n"


@pytest.fixture
def run(store_dsn, tmp_path) -> Run:
    return Run(store_dsn, tmp_path)


@pytest.fixture
def shop(store_dsn) -> Spans:
    """A good request and a bad one with the same operations; the bad one is slow."""
    made, now = Spans(store_dsn), datetime.now(UTC)
    for trace_id, minutes, ms in ((GOOD, 9, 0), (BAD, 5, 600)):
        start = now - timedelta(minutes=minutes)
        failed = 2 if ms else 0
        made.add_spans(
            Span("POST /pay", trace_id, "1" * 16, start, 60 + ms, kind="server",
                 status=failed),
            Span("charge", trace_id, "2" * 16, start + timedelta(milliseconds=5),
                 40 + ms, "1" * 16, service="cards", kind="client", status=failed,
                 message="no \x1b[31mcard" if ms else "", links=[link("d" * 32)]),
            *(Span("SELECT x", trace_id, f"{n:016x}",
                   start + timedelta(milliseconds=5 + n), 1, "2" * 16, service="cards")
              for n in range(32, 40)),
        )  # fmt: skip # ten spans
        made.add(
            Row("begins", start + timedelta(milliseconds=1), service="shop",
                trace_id=trace_id, span_id="1" * 16),
            Row("declined" if ms else "charged", start + timedelta(milliseconds=30),
                service="cards", severity=17 if ms else 9, trace_id=trace_id,
                span_id="2" * 16,
                attributes={"exception.stacktrace": STACK} if ms else None),
        )  # fmt: skip # two lines
    return made


def test_a_pipe_gets_an_indented_tree_that_controls_nothing(shop, run):
    shown = run("trace", BAD[:8])
    head, *rest = shown.splitlines()
    assert head.startswith(f"trace {BAD}  20")
    assert head.endswith(" 660.0 ms  spans 10  lines 2  errors 1  failed spans 2")
    assert rest[0].startswith("fails in cards: charge: no card (span 2222222222222222")
    assert rest[1].startswith("most time of its own: cards: charge 6")
    assert rest[2] == f"links to trace {'d' * 32}: no spans of it here"
    rows = [re.sub(r"#\d+", "#N", one[21:]) for one in rest[3:]]
    assert rows == [
        "shop POST /pay server ERROR 1111111111111111",
        "  shop.orders #N begins",
        "  cards charge client ERROR: no card self 632.0ms 96% (links: 1)"
        " 2222222222222222",
        "    shop.orders #N declined",
        "        Traceback (most recent call last):",
        "          File a.py",
        "        Timeout: no card",
        "    cards SELECT x ×8 slowest 1.0ms: 0000000000000020",
    ]
    assert "2 of 10 spans, 8 in rows of several and 2 of 2 lines shown" in run.said
    alone = run("trace", "--last", "--error", "--span", "2" * 16)
    assert "status: no card" in alone
    assert "POST /pay" not in alone
    cut = run("trace", BAD, "--limit", "1")
    assert "... 9 spans and 2 lines not shown, 1 of them failed" in cut
    assert "--limit, or --span for one" in run.said


def test_a_terminal_gets_a_coloured_tree(shop, run):
    shown = run("trace", BAD, terminal=True)
    assert "\x1b[1;33m" in shown  # where the time went
    assert "\x1b[31m" in shown
    assert "\x1b[2J" not in shown
    plain = re.sub("\x1b[^m]*m", "", shown)
    assert "└─ cards charge client ERROR: no card" in plain
    assert "├─ shop.orders" in plain
    assert "   └─ cards SELECT x ×8" in plain
    assert "   │      Traceback (most recent call last):" in plain
    assert "times are local" in run.said


def test_json_has_the_spans_and_then_the_lines(shop, run):
    found = [json.loads(one) for one in run("trace", BAD, "--json").splitlines()]
    spans = [one for one in found if "name" in one]
    assert [one["name"] for one in found[:2]] == ["POST /pay", "charge"]
    assert (len(spans), len(found)) == (10, 12)
    assert spans[1]["links"] == [{"trace_id": "d" * 32, "span_id": "1" * 16}]
    assert [one["body"] for one in found[10:]] == ["begins", "declined"]


def test_traces_are_found_by_operation_and_duration(shop, run):
    rows = run("traces").splitlines()
    assert [row.split()[0] for row in rows] == [BAD, GOOD]
    assert " shop: POST /pay ERROR 660.0 ms 10 2 3 cards, shop" in rows[0]
    assert " shop: POST /pay 60.0 ms 10 2 0 cards, shop" in rows[1]
    for given, expected in (
        (["--operation", "charge", "--min-duration", "500ms"], [BAD]),
        (["--operation", "SELECT*"], [BAD, GOOD]),
        (["--min-duration", "0.5s"], [BAD]),
        (["--errors"], [BAD]),
        (["--search", "charge", "--service", "cards"], [BAD, GOOD]),
        (["--operation", "charge", "--level", "error"], [BAD]),
    ):  # fmt: skip # options, and what they find
        found = run("traces", "--json", *given).splitlines()
        assert [json.loads(one)["trace_id"] for one in found] == expected, given
    assert "POST /pay" in run("traces", terminal=True)
    assert "no duration; write 500ms" in run.refused("traces", "--min-duration", "long")


def test_traces_are_compared_and_operations_counted(shop, run):
    here, there, *rows = run("trace", BAD, "--compare", GOOD).splitlines()
    assert here.startswith("here: bbbbbbbb 660.0ms spans 10")
    assert there.endswith("no span failed")
    charge = "[16x as long, errors 1 instead of 0] cards: charge  here ×1 640.0ms"
    assert any(row.startswith(charge) for row in rows)
    assert any(row.startswith("[only here] lines ERROR cards") for row in rows)
    found = json.loads(run("trace", "--last", "--compare", GOOD, "--json"))
    assert found["here"]["trace_id"] == BAD
    assert "compare_to: no such trace" in run.refused(
        "trace", BAD, "--compare", "9" * 8
    )
    title, *rows = run("stats", "--operations").splitlines()
    assert title.split() == [
        "service", "operation", "kind", "spans", "errors", "failed", "p50", "p95",
    ]  # fmt: skip # the columns
    assert [row.split()[:6] for row in rows if "charge" in row] == [
        ["cards", "charge", "client", "2", "1", "50.0%"]
    ]
    counted = json.loads(run("stats", "--operations", "--service", "shop", "--json"))
    (one,) = counted["operations"]
    assert (one["operation"], one["count"], one["error_share"]) == ("POST /pay", 2, 0.5)
