"""patterns, traces, stats over time: in a pipe, as JSON, on a terminal; completion."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime, timedelta

import pytest
from fix_lines import Row

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SLOW = "5bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def run(store_dsn, tmp_path):
    environ = {
        "PATH": os.environ["PATH"], "GODOT_POSTGRES_READER_DSN": store_dsn,
        "GODOT_DATA_DIR": str(tmp_path), "TERM": "xterm", "TZ": "UTC",
    }  # fmt: skip # the environment

    def run(*arguments: str, terminal: bool = False, columns: int = 150) -> str:
        command = [sys.executable, "-m", "godot_otel", *arguments]
        if not terminal:
            done = subprocess.run(
                command, env=environ, capture_output=True, text=True, timeout=30
            )
            assert done.returncode == 0, done.stderr
            run.said = done.stderr
            return done.stdout
        main, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        subprocess.run(command, env=environ, stdout=end, check=True, timeout=30)
        shown = os.read(main, 65536).decode()
        os.close(end)
        os.close(main)
        return shown

    return run


@pytest.fixture
def stored(lines):
    now = datetime.now(UTC)
    failed = {"exception.type": "Declined", "exception.message": "no funds"}
    lines.add(
        *(Row(f"retry {n}", now - timedelta(minutes=90 if n < 9 else 9), severity=13)
          for n in range(17)),
        Row("card 7\x1b[2J declined", now - timedelta(minutes=5), service="pay",
            severity=17, trace_id=TRACE, version="2.0", attributes=failed),
        Row("begin", now - timedelta(minutes=4), trace_id=SLOW),
        Row("end", now - timedelta(minutes=3), trace_id=SLOW),
    )  # fmt: skip # a new error and a slow trace


def test_patterns_as_rows_and_as_json(stored, run):
    first, second = run("patterns", "--compare-to", "previous").splitlines()
    assert first.startswith("new ERROR 1 ")
    assert f" pay {TRACE} card <*>" in first
    assert "\x1b" not in first
    assert second.split()[:4] == ["-", "WARN", "8", "9"]
    assert "compared with 20" in run.said
    one = json.loads(run("patterns", "--json", "--level", "error"))
    assert (one["lines"], one["services"], one["change"]) == (1, ["pay"], None)
    assert one["example"]["trace_id"] == TRACE
    assert "declined" in run("patterns", "--search", "declined", "--limit", "1")
    assert "counted over rows" in run.said
    assert "retry <*>" in run("patterns", terminal=True)


def test_traces_by_any_filter_and_the_slowest_first(stored, run):
    assert run("traces", "--slowest").split()[0] == SLOW
    (only,) = run("traces", "--errors").splitlines()
    assert only.startswith(TRACE)
    assert "pay: card 7 declined Declined: no funds" in only
    assert run("traces", "--where", "body~^be", "--json").count("\n") == 1
    assert run("traces", "--min-duration-ms", "1000").startswith(SLOW)


def test_stats_over_time_by_anything_and_with_fields(stored, run):
    rows = run("stats", "--histogram").splitlines()
    assert 61 <= len(rows) <= 62
    assert sum(int(row.split()[1]) for row in rows) == 11
    assert any(row.endswith("1 ERROR=1") for row in rows)
    bars = run("stats", "--bucket", "1h", "--since", "-2h", terminal=True)
    assert "█" * 40 in bars
    assert "WARN" in bars
    assert "2.0" in run("stats", "--group-by", "version")
    assert "Declined" in run("stats", "--fields", "exception.type")
    assert re.search(
        r"^exception.type +\d+ +.*Declined \d", run("stats", "--fields", "true"), re.M
    )
    counted = json.loads(run("stats", "--json", "--bucket", "1h", "--level", "WARN"))
    assert sum(one["lines"] for one in counted["histogram"]["buckets"]) == 9
    assert run("query", "--version", "2.0").count("\n") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [("godot-otel pat", "patterns"), ("godot-otel traces --slo", "--slowest"),
     ("godot-otel traces --sort s", "slowest")],
)  # fmt: skip # what is typed, and what completes it
def test_a_shell_completes_commands_options_and_choices(words, expected):
    done = subprocess.run(
        [sys.executable, "-m", "godot_otel"],
        env={"PATH": os.environ["PATH"], "_GODOT_OTEL_COMPLETE": "bash_complete",
             "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))},
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip # what bash sets
    assert f"plain,{expected}" in done.stdout


def test_a_long_name_takes_no_room_from_numbers_and_lines(lines, run):
    lines.add(Row("needle", severity=17, service="x" * 250, trace_id=TRACE))
    for command in ("query", "traces", "patterns"):
        shown = run(command, terminal=True)
        assert "needle" in shown.replace("\r\n", ""), command
        assert TRACE[:8] in shown
    shown = re.sub("\x1b[^m]*m", "", run("traces", terminal=True))
    assert re.search(" ms +0 +1 +1 +xxx", shown)  # spans, lines, errors


def test_on_a_narrow_terminal_traces_have_their_texts_below(stored, run):
    shown = run("traces", terminal=True, columns=80)
    rows = re.sub("\x1b[^m]*m", "", shown).splitlines()
    (at,) = (place for place, row in enumerate(rows) if row.startswith(TRACE[:8]))
    assert rows[at + 1].split() == ["-", "(pay)"]
    assert rows[at + 2].startswith("    pay: card 7")
    assert all(len(row) <= 80 for row in rows)
