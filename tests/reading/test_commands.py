"""The reading commands, as processes: what is on stdout, stderr, and the status."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime, timedelta

import pytest
from fix_lines import Row

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def run(store_dsn, tmp_path):
    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        given = {
            "PATH": os.environ["PATH"], "GODOT_POSTGRES_READER_DSN": store_dsn,
            "GODOT_DATA_DIR": str(tmp_path), **environ,
        }  # fmt: skip # the environment
        return subprocess.run(
            [sys.executable, "-m", "godot_otel", *arguments],
            env={name: value for name, value in given.items() if value},
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run


def test_query_prints_json_lines_and_its_cursor_on_stderr(lines, run):
    start = datetime.now(UTC) - timedelta(minutes=30)
    lines.add(*(Row(f"line\n{n}", start + timedelta(seconds=n)) for n in range(9)))
    found, cursor = [], []
    while True:
        done = run("query", "--json", "--limit", "4", "--since", "-1h", *cursor)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert all(next(iter(row)) == "time" and len(row) == 12 for row in rows)
        found += [row["body"] for row in rows]
        if "--cursor" not in done.stderr:
            break
        cursor = done.stderr.split()[-2:]
    assert found == [f"line\n{n}" for n in reversed(range(9))]


def test_query_takes_each_filter(lines, run):
    lines.add(
        Row("needle", severity=17, trace_id=TRACE, attributes={"plan": "pro"}),
        Row("hay", service="other"),
    )
    done = run(
        "query", "--trace-id", TRACE[:8], "--service", "ord*", "--logger",
        "shop.orders", "--environment", "prod", "--level", "warning", "--since", "-1h",
        "--until", "now", "--search", "NEEDLE", "--where", "plan=pro", "--where",
        "plan exists", "--limit", "3000",
    )  # fmt: skip # one command line
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert f'ERROR orders shop.orders needle  {{"plan": "pro"}} {TRACE}' in done.stdout


def test_a_pipe_gets_plain_rows_without_anything_that_controls_a_terminal(lines, run):
    lines.add(Row("\x1b[31mred\x1b[0m\nsecond"))
    done = run("query")
    assert "red\\nsecond" in done.stdout
    assert "\x1b" not in done.stdout + run("stats").stdout


def test_json_is_one_line_without_anything_that_controls_a_terminal(lines, run):
    said = 'gr\u00fcn \x1b[1m \x9b1m \u202e \u200b \u2028 \x85 \U000e0041 "\\ end'
    lines.add(Row(said, service=said))
    for command, place in (
        (["query"], ["body"]), (["stats"], ["components", 0, "name"]),
        (["patterns", "--level", "TRACE"], ["services", 0]),
    ):  # fmt: skip # a command beside where its answer has the text
        printed = run(*command, "--json").stdout
        assert len(printed.splitlines()) == 1
        assert not set("\x1b\x9b\u202e\u200b\u2028\x85\U000e0041") & set(printed)
        assert "gr\u00fcn" in printed
        found = json.loads(printed)
        for one in place:
            found = found[one]
        assert found == said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["query", "--level", "LOUD"], "level: 'LOUD' is none of TRACE"),
        (["query", "--since", "yesterday"], "since: 'yesterday' is no time"),
        (["query", "--since", "2026-11-22T14:00"], "2026-11-22T14:00:00Z"),
        (["query", "--trace-id", "xyz"], "trace id: 'xyz' is none"),
        (["query", "--cursor", "xyz"], "cursor: not one"),
        (["trace", "xyz"], "trace id: 'xyz' is none"),
        (["trace"], "name one trace id, or --last"),
        (["traces", "--since", "never"], "since: 'never' is no time"),
        (["stats", "--until", "never"], "until: 'never' is no time"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_what_is_not_understood_is_one_sentence_and_status_2(run, arguments, sentence):
    done = run(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["query", "traces", "stats", "trace"])
def test_with_nothing_running_one_sentence_names_the_command_that_starts_it(
    run, command
):
    more = ["--last"] if command == "trace" else []
    done = run(command, *more, GODOT_POSTGRES_READER_DSN="")
    assert done.returncode == 1
    assert "`godot-otel up`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_running_stack_of_a_data_directory_is_found(
    lines, run, store_dsn, tmp_path
):
    lines.add(Row("found"))
    (tmp_path / "state.json").write_text(json.dumps({"postgres_dsn": store_dsn}))
    for arguments in (["query"], ["query", "--data-dir", str(tmp_path)]):
        assert "found" in run(*arguments, GODOT_POSTGRES_READER_DSN="").stdout


def test_a_trace_is_shown_in_time_order_with_offsets(lines, run):
    start = datetime.now(UTC) - timedelta(minutes=5)
    lines.add(
        Row(
            "second", start + timedelta(milliseconds=12.5), trace_id=TRACE, service="b"
        ),
        Row("first", start, trace_id=TRACE, service="a"),
        Row("bad", start - timedelta(minutes=1), trace_id="5" * 32, severity=17),
    )  # fmt: skip # three rows
    for arguments in ([TRACE], [TRACE[:8]], ["--last"]):
        done = run("trace", *arguments)
        head, first, second = done.stdout.splitlines()
        assert head.startswith(f"trace {TRACE}")
        assert first == "+0.0ms INFO  a shop.orders first"
        assert second == "+12.5ms INFO  b shop.orders second"
    assert "bad" in run("trace", "--last", "--error").stdout
    rows = run("trace", TRACE, "--json").stdout.splitlines()
    assert [json.loads(row)["body"] for row in rows] == ["first", "second"]
    gone = run("trace", "9" * 32)
    assert gone.returncode == 1
    assert "expired" in gone.stderr


def test_traces_and_stats_answer_as_text_and_json(lines, run):
    lines.add(Row("a", trace_id=TRACE, severity=17), Row("b", service="other"))
    assert TRACE in run("traces").stdout
    found = json.loads(run("traces", "--errors", "--json").stdout)
    assert found["trace_id"] == TRACE
    assert found["errors"] == 1
    counted = json.loads(run("stats", "--json").stdout)
    assert counted["levels"] == {"INFO": 1, "ERROR": 1}
    text = run("stats").stdout
    assert "(all)" in text
    assert "keeps 7 days" in text


STACK = (
    'Traceback (most recent call last):\n  File "a.py", line 3, in pay\n\x1b[2Jboom\n'
)
FAILED = {
    "order": 17, "code.file.path": "/srv/a.py", "code.line.number": 3,
    "thread.name": "MainThread", "log.record.template": "order %d failed",
    "exception.type": "ValueError", "exception.message": "no stock",
    "exception.stacktrace": STACK,
}  # fmt: skip # as Python's exporter sends them


def test_text_leaves_out_where_a_line_comes_from_and_json_has_it(lines, run):
    lines.add(Row("order 17 failed", severity=17, attributes=FAILED), Row("b"))
    told = 'order 17 failed  ValueError: no stock  {"order": 17} -'
    for condition in (
        "code.line.number=3",
        "thread.name~^Main",
        "log.record.template exists",
    ):
        done = run("query", "--where", condition)
        assert done.stdout.strip().endswith(told), done.stderr
        assert len(done.stdout.splitlines()) == 1
    row = json.loads(run("query", "--json", "--level", "error").stdout)
    assert row["attributes"] == FAILED


def test_a_trace_shows_stack_traces_line_by_line(lines, run):
    lines.add(
        Row("order 17 failed", severity=17, trace_id=TRACE, attributes=FAILED),
        Row("sorry", trace_id=TRACE),
    )
    _, row, *stack, last = run("trace", TRACE).stdout.splitlines()
    assert row.endswith('order 17 failed  ValueError: no stock  {"order": 17}')
    assert stack == [
        "    Traceback (most recent call last):",
        '      File "a.py", line 3, in pay',
        "    boom",
    ]
    assert last.endswith("sorry")


def test_a_terminal_gets_stack_traces_dimmed_across_its_width(lines, store_dsn):
    lines.add(
        Row("order 17 failed", severity=17, trace_id=TRACE, attributes=FAILED),
        Row("sorry", trace_id=TRACE),
    )
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 70, 0, 0))
    environ = {"PATH": os.environ["PATH"], "TERM": "xterm",
               "GODOT_POSTGRES_READER_DSN": store_dsn}  # fmt: skip # the environment
    command = [sys.executable, "-m", "godot_otel", "trace", TRACE]
    subprocess.run(command, stdout=terminal, env=environ, check=True, timeout=30)
    shown = os.read(main, 65536).decode().splitlines()
    os.close(terminal)
    os.close(main)
    place = next(n for n, line in enumerate(shown) if "Traceback" in line)
    assert "\x1b[2m" in shown[place]
    assert "    Traceback (most recent call last):" in shown[place].replace(
        "\x1b[2m", ""
    )
    starts = [line.index("shop.orders") for line in shown if "shop.orders" in line]
    assert len(starts) == 2
    assert "sorry" in shown[place + 3]
